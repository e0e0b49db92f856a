/**
 * Engines with a configuration of their own, and a cluster as far as the engine can be one: it knows a cluster by its configuration file, and so
 * Distributed tables, but has no Keeper and no queue of statements. Replicated tables are
 * made without their replication, and statements run where they arrive.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../runtime/clock.ts";
import { connectClickHouse, type ClickHouse } from "./client.ts";
import { startEngineServer } from "./engine/engine.ts";
import { defaultEngineLimits } from "./engine/limits.ts";
import { SINGLE_SERVER, type Cluster, type Topology } from "./topology.ts";

export const TEST_CLUSTER: Cluster = { kind: "cluster", name: "adtally_test" };

// The address is this server's own, so that a query to the shard runs in the engine itself.
const CONFIG = `<clickhouse>
  <tcp_port>19000</tcp_port>
  <macros><shard>01</shard><replica>r1</replica></macros>
  <remote_servers><adtally_test><shard>
    <internal_replication>true</internal_replication>
    <replica><host>127.0.0.1</host><port>19000</port></replica>
  </shard></adtally_test></remote_servers>
</clickhouse>
`;

const withoutKeeper = (sql: string): string =>
  sql.replace(/ ON CLUSTER `adtally_test`/, "").replace(/Replicated(\w+)\('[^']*', '[^']*'(?:, )?/, "$1(");

export interface ServerFixture {
  readonly clickhouse: ClickHouse;
  readonly url: string;
  close(): Promise<void>;
}

/** An engine with a configuration of its own. It runs in this process: one test file, one engine. */
export async function openServerFixture(options: {
  readonly config: string;
  readonly topology?: Topology;
}): Promise<ServerFixture> {
  const dataDir = await mkdtemp(join(tmpdir(), "adtally-server-"));
  const configFile = join(dataDir, "config.xml");
  await writeFile(configFile, options.config);
  const server = await startEngineServer({
    dataDir,
    port: 0,
    limits: defaultEngineLimits,
    clock: systemClock,
    configFile,
    onFatal: () => undefined,
  });
  const url = `http://127.0.0.1:${server.port}`;
  const clickhouse = connectClickHouse({ url, topology: options.topology ?? SINGLE_SERVER });
  return {
    clickhouse,
    url,
    async close() {
      await clickhouse.close();
      await server.drain();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Its client is as a program's, but for the two things that need a Keeper. */
export async function openClusterFixture(): Promise<ServerFixture> {
  const fixture = await openServerFixture({ config: CONFIG, topology: TEST_CLUSTER });
  const { clickhouse } = fixture;
  return {
    ...fixture,
    clickhouse: {
      ...clickhouse,
      command: (sql, parameters, settings) => clickhouse.command(withoutKeeper(sql), parameters, settings),
    },
  };
}
