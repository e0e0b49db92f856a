import { describe, expect, test } from "vitest";
import { createMetrics } from "./metrics.ts";

const fresh = () => createMetrics({ process: false });

describe("metrics", () => {
  test("all series of a family are there at zero, before anything was counted", async () => {
    const metrics = fresh();
    metrics.counter({
      name: "adtally_clicks_total",
      help: "Clicks.",
      labels: { verdict: ["ACCEPTED", "DUPLICATE"], source: ["HTTP", "GRPC"] },
    });
    const text = await metrics.text();
    expect(text.match(/^adtally_clicks_total\{.*\} 0$/gm)).toHaveLength(4);
    expect(text).toContain("# TYPE adtally_clicks_total counter");
  });

  test("counters add up across scrapes, gauges keep their last value, histograms fill buckets", async () => {
    const metrics = fresh();
    const clicks = metrics
      .counter({ name: "adtally_clicks_total", help: "Clicks.", labels: { verdict: ["ACCEPTED"] } })
      .of({ verdict: "ACCEPTED" });
    const depth = metrics.gauge({ name: "adtally_mailbox_clicks", help: "Waiting.", labels: {} }).of({});
    const seconds = metrics
      .histogram({ name: "adtally_append_seconds", help: "Append.", labels: {}, buckets: [0.1, 1] })
      .of({});
    clicks.add();
    clicks.add(4);
    metrics.beforeScrape(() => depth.set(7));
    seconds.observe(0.5);
    await metrics.text();
    clicks.add(2);
    const text = await metrics.text();
    expect(text).toContain('adtally_clicks_total{verdict="ACCEPTED"} 7');
    expect(text).toContain("adtally_mailbox_clicks 7");
    expect(text).toContain('adtally_append_seconds_bucket{le="0.1"} 0');
    expect(text).toContain('adtally_append_seconds_bucket{le="1"} 1');
  });

  test("a value that was not declared throws", () => {
    const family = fresh().counter({
      name: "adtally_x_total",
      help: "X.",
      labels: { verdict: ["ACCEPTED"] },
    });
    expect(() => family.of({ verdict: "OTHER" as "ACCEPTED" })).toThrow("no series");
  });

  test("two registries do not share a name", () => {
    for (const metrics of [fresh(), fresh()]) metrics.gauge({ name: "adtally_y", help: "Y.", labels: {} });
  });
});
