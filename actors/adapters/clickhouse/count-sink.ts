/** CountSink in ClickHouse: absolute counts into a ReplacingMergeTree, as they come from the actors. */
import { AdtallyError } from "../../core/errors.ts";
import { COUNT_COLUMNS, COUNT_ROW_BYTES, type CountSink } from "../../ports/count-sink.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";

const countColumns = COUNT_COLUMNS.map(([name]) => name).join(", ");
const INSERT_COUNTS = `INSERT INTO ${DATABASE}.click_counts (${countColumns}) FORMAT RowBinary`;
const READ_WINDOWS =
  `SELECT ${countColumns} FROM ${DATABASE}.click_counts FINAL ` +
  `WHERE shard = {shard:UInt16} AND minute >= toDateTime({from:UInt32}, 'UTC') FORMAT RowBinary`;
const INSERT_CHECKPOINTS = `INSERT INTO ${DATABASE}.shard_checkpoints (shard, epoch, offset, watermark) FORMAT RowBinary`;
const CHECKPOINT_BYTES = 26;
const MINUTE_S = 60;

interface CheckpointRow {
  readonly shard: number;
  readonly epoch: string;
  readonly offset: string;
  readonly watermark_ms: string;
}

export function createClickHouseCountSink(clickhouse: ClickHouse): CountSink {
  return {
    async writeCounts({ rowCount, bytes }) {
      if (rowCount * COUNT_ROW_BYTES !== bytes.length)
        throw new AdtallyError(
          "COUNT_SINK_REJECTED",
          `${rowCount} count rows of ${COUNT_ROW_BYTES} bytes do not make ${bytes.length} bytes`,
        );
      if (rowCount > 0) await clickhouse.insertBytes(INSERT_COUNTS, [bytes]);
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
    },
    async readCheckpoints() {
      const rows = await clickhouse.rows<CheckpointRow>(
        `SELECT shard, max(epoch) AS epoch, max(offset) AS offset,
                toUnixTimestamp64Milli(max(watermark)) AS watermark_ms
         FROM ${DATABASE}.shard_checkpoints GROUP BY shard ORDER BY shard`,
      );
      return rows.map((row) => ({
        shard: row.shard,
        epoch: Number(row.epoch),
        offset: Number(row.offset),
        watermarkMs: Number(row.watermark_ms),
      }));
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
