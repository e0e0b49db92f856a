/** What actor hosts and gateways say of their load, and whom it is told to: the operator's planner. */
import type { AdRate } from "../hot-ads/top-rates.ts";

export type { AdRate } from "../hot-ads/top-rates.ts";

/** What an actor host says of itself. */
export interface HostReport {
  /** Of the newest assignment that it has seen: it takes up none of a lower version. */
  readonly assignmentVersion: number;
  /** The epoch by which it serves each of its shards. */
  readonly held: ReadonlyMap<number, number>;
  readonly clicksPerSecond: number;
  /** Of the CPU that it may use. */
  readonly cpuPercent: number;
  /** Clicks of its shards' logs and spills that it has not folded yet. */
  readonly lagClicks: number;
  /** Of all its shards; an ad of several shards may be there several times. */
  readonly topAds: readonly AdRate[];
}

export interface Memory {
  readonly residentBytes: number;
  /** The limit of its container, else the machine's memory. */
  readonly limitBytes: number;
}

export interface HostStatus extends HostReport {
  readonly host: string;
  /** Those of lagClicks that stand in the spill. */
  readonly spillClicks: number;
  readonly memory: Memory;
}

export interface GatewayStatus {
  readonly host: string;
  readonly clicksPerSecond: number;
  readonly cpuPercent: number;
  /** On its own disk, where neither a shard nor the spill has them yet: at least so many, 0 only where there are none. */
  readonly spoolClicks: number;
  /** Put into the spill since it started. */
  readonly spilledClicks: number;
  readonly memory: Memory;
}
