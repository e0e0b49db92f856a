/** What an actor host says of itself to the operator: HostService. */
import type { ClickLog } from "../../actors/ports/click-log.ts";
import { LOAD_SPAN_MS, type HostLoad } from "../../actors/load/host-load.ts";
import type { HostStatus } from "../../actors/load/report.ts";
import { createRecentRate } from "../../actors/runtime/recent-rate.ts";
import type { ShardHost } from "../../actors/shard/host.ts";
import { measureProcess } from "../lib/process-load.ts";
import type { Program } from "../lib/program.ts";

export interface HostReporterDeps {
  readonly program: Program<{ readonly hostName: string }>;
  readonly host: Pick<ShardHost, "actors" | "down" | "owned">;
  readonly load: HostLoad;
  readonly spill: ClickLog;
  readonly assignmentVersion: () => number;
}

/** Some hundred bytes each at the most; those that are split or merged get far more than the rest. */
const TOP_ADS = 256;

/** @returns what makes a report. It throws LOG_UNAVAILABLE where the spill cannot be looked at. */
export function createHostReporter(deps: HostReporterDeps): () => Promise<HostStatus> {
  const { program, host, load, spill, assignmentVersion } = deps;
  const { clock, config, life } = program;
  const clicks = createRecentRate(clock, LOAD_SPAN_MS, () => load.clicks);
  const usage = measureProcess(clock, LOAD_SPAN_MS);
  life.onStop("the load's measure", () => {
    clicks.close();
    usage.close();
  });

  /** Of one shard; blocks that were not read yet are taken to be as large as the spill's others. */
  async function waitingIn(shard: number): Promise<{ readonly spill: number; readonly log: number }> {
    const { state } = host.actors.get(shard)!;
    const { next } = await spill.bounds(shard);
    const isUnread = ({ offset }: { offset: number }) => offset >= state.spillOffset;
    const read = state.spilled.filter(isUnread);
    const known = read.reduce((sum, { header }) => sum + header.rowCount, 0);
    const blocks = Math.max(0, next - Math.max(state.spillOffset, (read.at(-1)?.offset ?? -1) + 1));
    const perBlock = read.length > 0 ? known / read.length : 1;
    const inFlight = state.inFlight?.block.header.rowCount ?? 0;
    return { spill: known + Math.ceil(blocks * perBlock), log: state.mailboxClicks + inFlight };
  }

  return async () => {
    const held = new Map([...host.owned()].filter(([shard]) => host.actors.has(shard)));
    const waiting = await Promise.all([...held.keys()].map(waitingIn));
    const spillClicks = waiting.reduce((sum, each) => sum + each.spill, 0);
    return {
      host: config.hostName,
      assignmentVersion: assignmentVersion(),
      held,
      clicksPerSecond: clicks.perSecond(),
      cpuPercent: usage.cpuPercent(),
      lagClicks: spillClicks + waiting.reduce((sum, each) => sum + each.log, 0),
      spillClicks,
      topAds: load.topAds(TOP_ADS),
      memory: usage.memory(),
    };
  };
}
