/** Has the program's own rollup make hours of the data set's minutes, and says what that took. */
import type { ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { createClickHouseCountSink } from "../../actors/adapters/clickhouse/count-sink.ts";
import { startRollups } from "../../actors/adapters/clickhouse/rollups.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { MINUTE_DAYS, type Shape } from "./shape.ts";

/** The shards are that far, as running ones are. */
const WATERMARK_LAG_MS = 5 * 60_000;

/** @returns false where the time ran out first */
export async function rollUp(
  clickhouse: ClickHouse,
  shape: Shape,
  shards: readonly number[],
  untilMs: number,
  say: (line: string) => void,
): Promise<boolean> {
  const watermarkMs = (shape.startS + MINUTE_DAYS * 86_400) * 1_000 - WATERMARK_LAG_MS;
  const sink = createClickHouseCountSink(clickhouse);
  await sink.writeCheckpoints(shards.map((shard) => ({ shard, epoch: 1, offset: 1, watermarkMs })));
  const logger: Logger = {
    ...silentLogger,
    info: (fields, message) => say(`${message} ${JSON.stringify(fields)}`),
  };
  const rollups = startRollups({
    clickhouse,
    shards: () => shards,
    limits: { ...DEFAULT_LIMITS, rollupIntervalMs: 1e9 },
    clock: systemClock,
    logger,
  });
  let ranOut = false;
  const timer = systemClock.after(Math.max(0, Math.min(untilMs - performance.now(), 1e9)), () => {
    ranOut = true;
    void rollups.stop();
  });
  try {
    await rollups.pass();
    return !ranOut;
  } finally {
    timer.cancel();
    await rollups.stop();
  }
}
