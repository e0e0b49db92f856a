/** What a k6 run is aimed at: a program started for it, a cluster of processes, or one that is there already. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCluster } from "../../cmd/cluster/cluster.ts";
import { ADMIN_KEY, enginePid, freePlace, startProgram } from "../lib/program.ts";

export interface Target {
  readonly name: string;
  readonly url: string;
  readonly reportUrl: string;
  readonly grpcAddress: string;
  readonly key: string;
  /** Its processes by name, where they are on this machine and ours. */
  readonly pids: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

export interface TargetOptions {
  readonly on: string;
  readonly grpc: string | undefined;
  readonly reports: string | undefined;
  readonly key: string | undefined;
  /** Ways of the ads that are split from the beginning. */
  readonly splits: ReadonlyMap<number, number> | undefined;
  readonly say: (line: string) => void;
}

/** @throws Error that says what is missing, or in the words of what did not start */
export async function openTarget(options: TargetOptions): Promise<Target> {
  if (options.on === "cluster") return clusterTarget(options);
  if (options.splits !== undefined) throw new Error("this scenario splits an ad: run it with --on cluster");
  if (options.on === "local") return localTarget();
  const { on: url, grpc, key, reports = url } = options;
  if (!URL.canParse(url)) throw new Error(`--on ${url}: give local, cluster, or the URL of a gateway`);
  if (grpc === undefined || key === undefined) {
    throw new Error("--on URL needs --grpc HOST:PORT and --key KEY (of scope admin) beside it");
  }
  const close = () => Promise.resolve();
  return { name: url, url, reportUrl: reports, grpcAddress: grpc, key, pids: new Map(), close };
}

async function localTarget(): Promise<Target> {
  const dir = await mkdtemp(join(tmpdir(), "adtally-k6-"));
  try {
    const program = await startProgram(await freePlace(join(dir, "data")));
    const engine = await enginePid(program);
    return {
      name: "one process (npm start) and its ClickHouse engine",
      url: program.url,
      reportUrl: program.url,
      grpcAddress: program.grpcAddress,
      key: ADMIN_KEY,
      pids: new Map([
        ["adtally", program.pid],
        ...(engine === undefined ? [] : [["ClickHouse", engine] as const]),
      ]),
      async close() {
        await program.stop().finally(() => rm(dir, { recursive: true, force: true }));
      },
    };
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}

async function clusterTarget({ splits, say }: TargetOptions): Promise<Target> {
  const dir = await mkdtemp(join(tmpdir(), "adtally-k6-"));
  try {
    const cluster = await startCluster({
      dir,
      adminKey: ADMIN_KEY,
      progress: say,
      logLevel: "warn",
      ...(splits !== undefined && { splits }),
    });
    const [gateway] = cluster.gateways;
    return {
      name: "a cluster of processes (npm run cluster)",
      url: gateway!.url,
      reportUrl: cluster.query.url,
      grpcAddress: gateway!.grpcAddress,
      key: ADMIN_KEY,
      pids: new Map(cluster.members.map(({ name, pid }) => [name, pid ?? -1])),
      async close() {
        await cluster.stopAll().finally(() => rm(dir, { recursive: true, force: true }));
      },
    };
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}
