/**
 * Clicks whose token pins a generation that a gateway does not know: its table is a copy from before
 * that generation was published, or nobody could read the table since. Their signature is good and
 * their ad is known, so their users are redirected, and the rows are kept in a partition of the
 * spool that no shard has, until a table that has the generation says where they belong.
 *
 *  V1 A row goes by the generation that its token pins, and by no other: its copies went that way.
 *  V2 One whose impression is remembered nowhere (its generation may have left the table) goes by
 *     the newest: it can no longer count, and its shard dead-letters it by name.
 */
import { readImpressionId, readImpressionMs, rowEnd, RowAt } from "../block/row.ts";
import { invariant } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import type { Submission } from "../ports/shard-port.ts";
import { route } from "../routing/generation.ts";
import type { RoutingTable } from "../routing/table.ts";

/** Behind the last that a shard can have. */
export function unroutedPartition({ maxShards }: Pick<Limits, "maxShards">): number {
  return maxShards;
}

type RememberingLimits = Pick<Limits, "tokenLifeMs" | "dedupRetentionMs" | "clockSkewMs">;

/** The rows by their shards, in copies; undefined while the table lacks a generation of theirs. */
export function routeRows(
  rows: Buffer,
  table: RoutingTable,
  nowMs: number,
  limits: RememberingLimits,
): readonly Submission[] | undefined {
  const forgottenMs = nowMs - limits.tokenLifeMs - limits.dedupRetentionMs - limits.clockSkewMs;
  const byShard = new Map<number, Buffer[]>();
  for (let at = 0; at < rows.length;) {
    const end = rowEnd(rows, at);
    invariant(end > at, "a spooled block ends within a row");
    const isForgotten = readImpressionMs(rows, at) < forgottenMs;
    const pinned = table.generations.get(rows.readUInt16LE(at + RowAt.generation));
    const generation = isForgotten ? table.newestFirst[0] : pinned;
    if (generation === undefined) return undefined;
    const id = readImpressionId(rows, at);
    const shard = route(
      generation,
      rows.readUInt32LE(at + RowAt.adId + 4),
      rows.readUInt32LE(at + RowAt.adId),
      id.readUInt32BE(0),
      id.readUInt32BE(4),
      id.readUInt32BE(8),
      id.readUInt32BE(12),
    );
    const row = Buffer.from(rows.subarray(at, end));
    row.writeUInt16LE(shard, RowAt.shard);
    const lane = byShard.get(shard);
    if (lane === undefined) byShard.set(shard, [row]);
    else lane.push(row);
    at = end;
  }
  return [...byShard].map(([shard, each]) => ({ shard, rows: Buffer.concat(each), count: each.length }));
}
