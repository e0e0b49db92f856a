/** The shards and the raw table, as metrics: set from their state at each scrape. */
import type { RawIngester } from "../../actors/adapters/clickhouse/raw-ingester.ts";
import type { Metrics } from "../../actors/runtime/metrics.ts";
import type { ShardHost } from "../../actors/shard/host.ts";

const VERDICTS = ["accepted", "duplicates", "invalid", "late", "expired"] as const;

export function observeShards(metrics: Metrics, host: ShardHost, ingester: RawIngester): void {
  const shards = [...host.actors.keys()].map(String);
  const gauge = (name: string, help: string) => metrics.gauge({ name, help, labels: { shard: shards } });
  const clicks = metrics.gauge({
    name: "adtally_shard_clicks",
    help: "Clicks folded since the process started, replay included, by what became of them.",
    labels: { shard: shards, verdict: VERDICTS },
  });
  const waiting = gauge("adtally_shard_mailbox_clicks", "Clicks that wait for a block.");
  const offset = gauge("adtally_shard_next_offset", "Offset of the next block to fold.");
  const unflushed = gauge("adtally_shard_unflushed_windows", "Windows that ClickHouse lacks.");
  const rawLag = gauge("adtally_raw_table_lag_blocks", "Blocks that the raw table lacks.");
  const watermark = gauge("adtally_shard_watermark_seconds", "Event time up to which windows are final.");
  const up = gauge("adtally_shard_up", "1 while the shard serves.");
  metrics.beforeScrape(() => {
    const progress = ingester.progress();
    for (const shard of shards) {
      const actor = host.actors.get(Number(shard));
      up.of({ shard }).set(actor === undefined ? 0 : 1);
      if (actor === undefined) continue;
      const { state } = actor;
      for (const verdict of VERDICTS) clicks.of({ shard, verdict }).set(state.stats[verdict]);
      waiting.of({ shard }).set(state.mailboxClicks);
      offset.of({ shard }).set(state.nextOffset);
      unflushed.of({ shard }).set(state.windows.unflushed);
      rawLag.of({ shard }).set(state.nextOffset - (progress.get(Number(shard)) ?? 0));
      watermark.of({ shard }).set(state.watermarkMs / 1_000);
    }
  });
}
