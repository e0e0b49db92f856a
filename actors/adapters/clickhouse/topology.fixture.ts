/**
 * A cluster as far as the engine can be one: it knows a cluster by its configuration file, and so
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
import type { Cluster } from "./topology.ts";

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

export interface ClusterFixture {
  /** As a program has it, but for the two things that need a Keeper. */
  readonly clickhouse: ClickHouse;
  readonly url: string;
  close(): Promise<void>;
}

/** The engine runs in this process: one test file, one engine. */
export async function openClusterFixture(): Promise<ClusterFixture> {
  const dataDir = await mkdtemp(join(tmpdir(), "adtally-cluster-"));
  const configFile = join(dataDir, "config.xml");
  await writeFile(configFile, CONFIG);
  const server = await startEngineServer({
    dataDir,
    port: 0,
    limits: defaultEngineLimits,
    clock: systemClock,
    configFile,
    onFatal: () => undefined,
  });
  const url = `http://127.0.0.1:${server.port}`;
  const plain = connectClickHouse({ url, topology: TEST_CLUSTER });
  const clickhouse: ClickHouse = {
    ...plain,
    command: (sql, parameters, settings) => plain.command(withoutKeeper(sql), parameters, settings),
  };
  return {
    clickhouse,
    url,
    async close() {
      await plain.close();
      await server.drain();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
