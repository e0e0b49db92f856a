/** The real engine in a folder of its own, for tests and benchmarks. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { connectClickHouse, type ClickHouse } from "./client.ts";
import { startEngine, type Engine } from "./engine-process.ts";
import { migrate } from "./migrations.ts";
import { DEFAULT_RETENTION } from "./schema.ts";

export interface EngineFixture {
  readonly engine: Engine;
  readonly clickhouse: ClickHouse;
  close(): Promise<void>;
}

export async function openEngineFixture(): Promise<EngineFixture> {
  const dataDir = await mkdtemp(join(tmpdir(), "adtally-clickhouse-"));
  const engine = await startEngine({ dataDir, port: 0, clock: systemClock, logger: silentLogger });
  const clickhouse = connectClickHouse({ url: engine.url });
  await migrate(clickhouse, DEFAULT_RETENTION);
  return {
    engine,
    clickhouse,
    async close() {
      await clickhouse.close();
      await engine.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
