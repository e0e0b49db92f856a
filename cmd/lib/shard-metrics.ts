/** The shards of a host, as metrics: set from their state at each scrape. */
import type { Metrics } from "../../actors/runtime/metrics.ts";
import type { ShardHost } from "../../actors/shard/host.ts";

const VERDICTS = ["accepted", "duplicates", "invalid", "late", "expired", "misdated"] as const;

/** `shards`: all that the host may ever serve. */
export function observeShards(metrics: Metrics, host: ShardHost, shards: readonly number[]): void {
  const names = shards.map(String);
  const gauge = (name: string, help: string) => metrics.gauge({ name, help, labels: { shard: names } });
  const clicks = metrics.gauge({
    name: "adtally_shard_clicks",
    help: "Clicks folded since the process took the shard, replay included, by what became of them.",
    labels: { shard: names, verdict: VERDICTS },
  });
  const waiting = gauge("adtally_shard_mailbox_clicks", "Clicks that wait for a block.");
  const offset = gauge("adtally_shard_next_offset", "Offset of the next block to fold.");
  const unflushed = gauge("adtally_shard_unflushed_windows", "Windows that ClickHouse lacks.");
  const watermark = gauge("adtally_shard_watermark_seconds", "Event time up to which windows are final.");
  const spillOffset = gauge("adtally_shard_next_spill_offset", "Offset of the next spilled block to drain.");
  const up = gauge("adtally_shard_up", "1 while the shard serves.");
  const halted = gauge(
    "adtally_shard_halted",
    "1 while the shard is this host's and does not serve: /readyz says why. Anything but a moment of it is an alarm.",
  );
  metrics.beforeScrape(() => {
    for (const shard of names) {
      const actor = host.actors.get(Number(shard));
      up.of({ shard }).set(actor === undefined ? 0 : 1);
      halted.of({ shard }).set(host.down.has(Number(shard)) ? 1 : 0);
      if (actor === undefined) {
        // Another host's now: what it was here would be summed with what it is there.
        for (const verdict of VERDICTS) clicks.of({ shard, verdict }).set(0);
        for (const each of [waiting, offset, unflushed, spillOffset, watermark]) each.of({ shard }).set(0);
        continue;
      }
      const { state } = actor;
      for (const verdict of VERDICTS) clicks.of({ shard, verdict }).set(state.stats[verdict]);
      waiting.of({ shard }).set(state.mailboxClicks);
      offset.of({ shard }).set(state.nextOffset);
      unflushed.of({ shard }).set(state.windows.unflushed);
      spillOffset.of({ shard }).set(state.spillOffset);
      watermark.of({ shard }).set(state.watermarkMs / 1_000);
    }
  });
}

/** `ends`: of each shard, the offset behind the last block that the log is known to hold. */
export function observeRawTable(
  metrics: Metrics,
  shards: readonly number[],
  ends: (shard: number) => number | undefined,
  progress: () => ReadonlyMap<number, number>,
): void {
  const names = shards.map(String);
  const lag = metrics.gauge({
    name: "adtally_raw_table_lag_blocks",
    help: "Blocks that the raw table lacks.",
    labels: { shard: names },
  });
  metrics.beforeScrape(() => {
    for (const shard of names) {
      const end = ends(Number(shard));
      if (end !== undefined) lag.of({ shard }).set(end - (progress().get(Number(shard)) ?? 0));
    }
  });
}
