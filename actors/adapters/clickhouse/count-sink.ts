/**
 * CountSink in ClickHouse: absolute counts into a ReplacingMergeTree, as they come from the actors.
 *
 *  C1 Counts of an hour that may have been rolled up mark it before their call resolves, and after
 *     they can be read: see H1 of rollup-hours.ts. A sink that knows no watermark yet marks all.
 */
import { AdtallyError } from "../../core/errors.ts";
import {
  COUNT_COLUMNS,
  COUNT_ROW_BYTES,
  type Checkpoint,
  type CountSink,
  type EncodedCounts,
} from "../../ports/count-sink.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";
import { HOUR_MS, REOPENED_AFTER_MS } from "./rollup-hours.ts";

const countColumns = COUNT_COLUMNS.map(([name]) => name).join(", ");
const INSERT_COUNTS = `INSERT INTO ${DATABASE}.click_counts (${countColumns}) FORMAT RowBinary`;
const READ_WINDOWS =
  `SELECT ${countColumns} FROM ${DATABASE}.click_counts FINAL ` +
  `WHERE shard = {shard:UInt16} AND minute >= toDateTime({from:UInt32}, 'UTC') FORMAT RowBinary`;
const INSERT_CHECKPOINTS = `INSERT INTO ${DATABASE}.shard_checkpoints (shard, epoch, offset, watermark) FORMAT RowBinary`;
const MARK_HOURS = `INSERT INTO ${DATABASE}.rollup_hours (hour, reopened_at)
  SELECT toDateTime(arrayJoin({hours:Array(UInt32)}), 'UTC'), now64(3, 'UTC')`;
const CHECKPOINT_BYTES = 26;
const MINUTE_S = 60;
const HOUR_S = HOUR_MS / 1_000;
/** Of a count row (COUNT_COLUMNS). */
const MINUTE_AT = 24;

interface CheckpointRow {
  readonly shard: number;
  readonly epoch: string;
  readonly offset: string;
  readonly watermark_ms: string;
}

/** Starts of the hours of windows that ended at or before `timeMs`, in seconds. */
function hoursBefore({ rowCount, bytes }: EncodedCounts, timeMs: number): readonly number[] {
  const hours = new Set<number>();
  for (let row = 0; row < rowCount; row++) {
    const minuteS = bytes.readUInt32LE(row * COUNT_ROW_BYTES + MINUTE_AT);
    if ((minuteS + MINUTE_S) * 1_000 <= timeMs) hours.add(minuteS - (minuteS % HOUR_S));
  }
  return [...hours];
}

export function createClickHouseCountSink(clickhouse: ClickHouse): CountSink {
  /** The newest of all that went through here. */
  let watermarkMs: number | undefined;
  const sawWatermarks = (checkpoints: readonly Checkpoint[]) => {
    for (const seen of checkpoints) watermarkMs = Math.max(watermarkMs ?? 0, seen.watermarkMs);
  };

  return {
    async writeCounts({ rowCount, bytes }) {
      if (rowCount * COUNT_ROW_BYTES !== bytes.length)
        throw new AdtallyError(
          "COUNT_SINK_REJECTED",
          `${rowCount} count rows of ${COUNT_ROW_BYTES} bytes do not make ${bytes.length} bytes`,
        );
      if (rowCount === 0) return;
      await clickhouse.insertBytes(INSERT_COUNTS, [bytes]);
      const reopened = hoursBefore({ rowCount, bytes }, (watermarkMs ?? Infinity) - REOPENED_AFTER_MS);
      if (reopened.length > 0) await clickhouse.command(MARK_HOURS, { hours: reopened });
    },
    async writeCheckpoints(checkpoints) {
      if (checkpoints.length === 0) return;
      const bytes = Buffer.allocUnsafe(checkpoints.length * CHECKPOINT_BYTES);
      let at = 0;
      for (const { shard, epoch, offset, watermarkMs } of checkpoints) {
        at = bytes.writeUInt16LE(shard, at);
        at = bytes.writeBigUInt64LE(BigInt(epoch), at);
        at = bytes.writeBigInt64LE(BigInt(offset), at);
        at = bytes.writeBigInt64LE(BigInt(watermarkMs), at);
      }
      await clickhouse.insertBytes(INSERT_CHECKPOINTS, [bytes]);
      sawWatermarks(checkpoints);
    },
    async readCheckpoints() {
      const rows = await clickhouse.rows<CheckpointRow>(
        `SELECT shard, max(epoch) AS epoch, max(offset) AS offset,
                toUnixTimestamp64Milli(max(watermark)) AS watermark_ms
         FROM ${DATABASE}.shard_checkpoints GROUP BY shard ORDER BY shard`,
      );
      const checkpoints = rows.map((row) => ({
        shard: row.shard,
        epoch: Number(row.epoch),
        offset: Number(row.offset),
        watermarkMs: Number(row.watermark_ms),
      }));
      sawWatermarks(checkpoints);
      return checkpoints;
    },
    async readWindows(shard, fromMinute) {
      const bytes = await clickhouse.bytes(READ_WINDOWS, { shard, from: fromMinute * MINUTE_S });
      const rowCount = bytes.length / COUNT_ROW_BYTES;
      if (!Number.isInteger(rowCount))
        throw new AdtallyError(
          "COUNT_SINK_UNAVAILABLE",
          `the windows of shard ${shard} came as ${bytes.length} bytes, not as whole rows of ${COUNT_ROW_BYTES}`,
        );
      return { rowCount, bytes };
    },
  };
}
