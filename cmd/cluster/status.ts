/**
 * What a cluster's programs say of themselves, put together: pure, from what was read of each.
 *
 * Clicks a second are what actor hosts have folded between two readings. A shard counts only where
 * the same process served it at both: what a start replays is no traffic.
 */
import { sumBy, type Sample } from "./samples.ts";

export interface MemberReading {
  readonly name: string;
  readonly pid: number | undefined;
  readonly isRunning: boolean;
  readonly restarts: number;
  readonly upMs: number;
  readonly logFile: string;
  /** Why it is not ready; empty where it is, undefined where it did not answer. */
  readonly faults: readonly string[] | undefined;
  readonly samples: readonly Sample[];
}

export interface Reading {
  readonly atMs: number;
  readonly members: readonly MemberReading[];
  /** Offset behind the last block, by shard; empty where the broker does not answer. */
  readonly spillEnds: ReadonlyMap<number, number>;
}

export interface MemberStatus {
  readonly name: string;
  readonly pid: number | undefined;
  readonly state: "up" | "not ready" | "no answer" | "down";
  readonly why: string;
  readonly upMs: number;
  readonly restarts: number;
}

/** Of one shard; undefined is unknown, as its owner or its source does not answer. */
export interface ShardStatus {
  readonly shard: number;
  readonly host: string | undefined;
  readonly clicksPerSecond: number | undefined;
  readonly mailboxClicks: number | undefined;
  readonly unflushedWindows: number | undefined;
  readonly rawLagBlocks: number | undefined;
  readonly spillBlocks: number | undefined;
}

export interface Status {
  readonly members: readonly MemberStatus[];
  readonly shards: readonly ShardStatus[];
  readonly clicksPerSecond: number;
  /** Since each gateway's start. */
  readonly deferred: { readonly spill: number; readonly spool: number };
  readonly spoolBlocks: number;
}

function memberStatus(reading: MemberReading): MemberStatus {
  const { faults, isRunning, logFile, name, pid, restarts, upMs } = reading;
  const state = !isRunning
    ? "down"
    : faults === undefined
      ? "no answer"
      : faults.length > 0
        ? "not ready"
        : "up";
  return {
    name,
    pid: isRunning ? pid : undefined,
    state,
    why: isRunning ? (faults?.join("; ") ?? "") : `see ${logFile}`,
    upMs,
    restarts,
  };
}

interface ShardReading {
  readonly host: string;
  readonly pid: number | undefined;
  readonly clicks: number;
  readonly mailbox: number;
  readonly unflushed: number;
  readonly spillOffset: number;
}

function servedShards({ members }: Reading): ReadonlyMap<number, ShardReading> {
  const served = new Map<number, ShardReading>();
  for (const { isRunning, name, pid, samples } of members) {
    if (!isRunning) continue;
    const of = (metric: string) => sumBy(samples, metric, "shard");
    const clicks = of("adtally_shard_clicks");
    const mailbox = of("adtally_shard_mailbox_clicks");
    const unflushed = of("adtally_shard_unflushed_windows");
    const spillOffset = of("adtally_shard_next_spill_offset");
    for (const [shard, up] of of("adtally_shard_up")) {
      if (up !== 1) continue;
      const value = (from: ReadonlyMap<string, number>) => from.get(shard) ?? 0;
      served.set(Number(shard), {
        host: name,
        pid,
        clicks: value(clicks),
        mailbox: value(mailbox),
        unflushed: value(unflushed),
        spillOffset: value(spillOffset),
      });
    }
  }
  return served;
}

export function statusOf(reading: Reading, before: Reading | undefined, shards: number): Status {
  const now = servedShards(reading);
  const then = before === undefined ? new Map<number, ShardReading>() : servedShards(before);
  const seconds = before === undefined ? 0 : (reading.atMs - before.atMs) / 1_000;
  const all = reading.members.flatMap(({ samples }) => samples);
  const rawLag = sumBy(all, "adtally_raw_table_lag_blocks", "shard");
  const deferred = sumBy(all, "adtally_gateway_deferred_clicks", "to");
  const spool = sumBy(all, "adtally_gateway_spool_blocks", "");

  const rateOf = (shard: number, own: ShardReading): number | undefined => {
    const earlier = then.get(shard);
    if (earlier === undefined || earlier.pid !== own.pid || seconds <= 0) return undefined;
    return Math.max(0, own.clicks - earlier.clicks) / seconds;
  };
  const statuses = Array.from({ length: shards }, (_, shard): ShardStatus => {
    const own = now.get(shard);
    const spillEnd = reading.spillEnds.get(shard);
    return {
      shard,
      host: own?.host,
      clicksPerSecond: own && rateOf(shard, own),
      mailboxClicks: own?.mailbox,
      unflushedWindows: own?.unflushed,
      rawLagBlocks: rawLag.get(String(shard)),
      spillBlocks:
        own === undefined || spillEnd === undefined ? undefined : Math.max(0, spillEnd - own.spillOffset),
    };
  });
  return {
    members: reading.members.map(memberStatus),
    shards: statuses,
    clicksPerSecond: statuses.reduce((sum, { clicksPerSecond }) => sum + (clicksPerSecond ?? 0), 0),
    deferred: { spill: deferred.get("spill") ?? 0, spool: deferred.get("spool") ?? 0 },
    spoolBlocks: spool.get("") ?? 0,
  };
}
