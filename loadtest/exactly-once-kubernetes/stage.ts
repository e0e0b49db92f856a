/**
 * Where the proof is played: a Kubernetes node and its API server, and beside them on this machine,
 * where pods reach it, the servers that a production cluster has elsewhere: a broker, Redis, the
 * ClickHouse engine. Nothing of adtally yet.
 */
import { mkdirSync } from "node:fs";
import path from "node:path";
import { startKafka } from "../../testing/servers/kafka.ts";
import { startRedis } from "../../testing/servers/redis.ts";
import { freePorts } from "../../testing/servers/process.ts";
import { runCommand } from "../../testing/servers/command.ts";
import { installHelm } from "../../testing/kubernetes/kubernetes-install.ts";
import { startHttpForward } from "../../testing/http-forward.ts";
import { startNode, type ClusterNode } from "../../testing/kubernetes/node.ts";
import { connectClickHouse, type ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { programMember } from "../../cmd/cluster/member.ts";

export interface Stage {
  readonly dir: string;
  readonly node: ClusterNode;
  /** All as pods reach it. */
  readonly endpoints: Endpoints;
  readonly clickhouse: ClickHouse;
  /** What it printed. @throws Error with what it said */
  helm(args: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

export interface Endpoints {
  /** host:port. */
  readonly broker: string;
  readonly redisUrl: string;
  readonly clickhouseUrl: string;
}

export interface StageOptions {
  readonly dir: string;
  /** OCI archives that pods may run. */
  readonly images: readonly string[];
  /** For the claims of pods. */
  readonly volumes: number;
  readonly say: (line: string) => void;
}

/** @throws Error that says what this machine, or its kernel, lacks */
export async function openStage({ dir, images, volumes, say }: StageOptions): Promise<Stage> {
  const at = (name: string) => path.join(dir, name);
  mkdirSync(at("logs"), { recursive: true });
  const logOf = (name: string) => at(path.join("logs", `${name}.log`));
  const helmCommand = await installHelm();
  const ends: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    say("starting the node");
    const node = await startNode({ dir: at("kubernetes"), images });
    ends.push(() => node.stop());
    say("starting a broker, Redis and the ClickHouse engine beside it");
    const host = node.hostAddress;
    const [enginePort = 0] = await freePorts(1);
    const engineUrl = `http://127.0.0.1:${enginePort}`;
    const engine = programMember({
      name: "clickhouse",
      main: "cmd/clickhouse/main.ts",
      args: ["--port", String(enginePort), "--data-dir", at("clickhouse")],
      logFile: logOf("clickhouse"),
      aliveUrl: `${engineUrl}/ping`,
      readyUrl: `${engineUrl}/ping`,
    });
    ends.push(() => engine.kill());
    const [broker, redis] = await Promise.all([
      startKafka({ dir: at("kafka"), host, logFile: logOf("broker") }),
      startRedis({ dir: at("redis"), host, logFile: logOf("redis") }),
      engine.start(),
      node.addVolumes(volumes),
    ]);
    ends.push(() => Promise.all([broker.kill(), redis.kill()]));
    const forward = await startHttpForward(host, enginePort);
    ends.push(() => forward.close());
    const clickhouse = connectClickHouse({ url: engineUrl });
    ends.push(() => clickhouse.close());
    const helmHome = Object.fromEntries(
      ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"].map((name) => [name, at("helm")]),
    );
    const env = { ...process.env, ...helmHome, KUBECONFIG: node.apiServer.kubeconfig };
    return {
      dir,
      node,
      endpoints: { broker: broker.address, redisUrl: redis.url, clickhouseUrl: forward.url },
      clickhouse,
      helm: (args) => runCommand(helmCommand, args, { env }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
