/**
 * Which shards this process serves, and whether the log still has what ClickHouse was told of it.
 *
 *  H1 A shard is served while a click that counts can reach it, and beyond that until ClickHouse
 *     has all of its partition: a kill may have come between a click's answer and its counts.
 *  H2 ClickHouse never has more of a partition than the log does: what the log lost was counted
 *     and acknowledged, and new counts under its offsets would be taken for old ones.
 *  H3 Where ClickHouse has nothing of a partition, its shard is folded anew: a store remembers
 *     windows for hours only, the log has them for days.
 */
import { AdtallyError } from "../../actors/core/errors.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { ClickLog } from "../../actors/ports/click-log.ts";
import type { CountSink } from "../../actors/ports/count-sink.ts";
import { shardsEver, shardsInUse, type RoutingTable } from "../../actors/routing/table.ts";

export interface ShardsDeps {
  readonly routing: RoutingTable;
  readonly nowMs: number;
  readonly limits: Limits;
  readonly clicks: ClickLog;
  readonly sink: CountSink;
  /** The offset that the raw table's next insert begins with, by shard. */
  readonly rawProgress: ReadonlyMap<number, number>;
}

export interface ShardsToServe {
  readonly serve: readonly number[];
  /** Those of them whose stores are to be destroyed first (H3). */
  readonly foldAnew: readonly number[];
}

/** @throws LOG_BEHIND_STATE (H2) */
export async function shardsToServe(deps: ShardsDeps): Promise<ShardsToServe> {
  const { routing, nowMs, limits, clicks, sink, rawProgress } = deps;
  const inUse = new Set(shardsInUse(routing, nowMs, limits));
  const counted = new Map((await sink.readCheckpoints()).map(({ shard, offset }) => [shard, offset + 1]));
  const serve: number[] = [];
  const foldAnew: number[] = [];
  for (const shard of shardsEver(routing)) {
    const { earliest, next } = await clicks.bounds(shard);
    const countedTo = counted.get(shard) ?? earliest;
    const rawTo = rawProgress.get(shard) ?? earliest;
    const known = Math.max(countedTo, rawTo);
    if (known > next) {
      const found = `the click log of shard ${shard} ends at ${next}, and ClickHouse has its clicks up to ${known}`;
      throw new AdtallyError(
        "LOG_BEHIND_STATE",
        `${found}: the log lost its end or was replaced. Restore the folder "log"; or, to go on with what it has, ` +
          `move the folders "state" and "clickhouse" away: they are made again from the log, as far back as it is kept`,
      );
    }
    if (!inUse.has(shard) && Math.min(countedTo, rawTo) >= next) continue;
    serve.push(shard);
    if (next > 0 && !counted.has(shard)) foldAnew.push(shard);
  }
  return { serve, foldAnew };
}

/** Whether any click was ever written down: by then the small files of the folder were there. */
export async function holdsClicks(
  clicks: ClickLog,
  { maxShards }: Pick<Limits, "maxShards">,
): Promise<boolean> {
  for (let shard = 0; shard < maxShards; shard++) if ((await clicks.bounds(shard)).next > 0) return true;
  return false;
}
