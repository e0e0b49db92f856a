import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assertLimits, DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { limitsOf as limitsOfCluster, STATE_LAG_SECONDS } from "../../operator/api/limits.ts";
import { parseClickClusterSpec } from "../../operator/api/click-cluster.ts";
import { actorSpec } from "../actor/config.ts";
import { assignSpec } from "../assign/config.ts";
import { resolve } from "../config/resolve.ts";
import { retentionSettings } from "../config/settings.ts";
import { gatewaySpec } from "../gateway/config.ts";
import { ingestSpec } from "../ingest/config.ts";
import { querySpec } from "../query/config.ts";
import { checkRetention, limitsOf, type RetentionConfig } from "./retention.ts";

const nothing = { flags: new Map(), env: {}, file: new Map() };
const defaults = resolve(retentionSettings, nothing).resolved!.config;
const spec = (retention: Partial<RetentionConfig>) =>
  parseClickClusterSpec({
    image: "adtally:test",
    tokenKeys: { name: "keys" },
    redpanda: { brokers: ["redpanda:9092"] },
    clickhouse: { url: "http://clickhouse:8123" },
    redis: { url: "redis://redis:6379" },
    retention,
  });

describe("retention by settings", () => {
  it("is as the limits are where nothing is given", () => {
    expect(limitsOf(defaults)).toEqual(DEFAULT_LIMITS);
    expect(limitsOf({})).toEqual(DEFAULT_LIMITS);
    expect(checkRetention(defaults)).toEqual([]);
  });

  it("is refused by the flags of the relation that does not hold", () => {
    expect(checkRetention({ ...defaults, tokenLifeSeconds: 86_400 })).toEqual([
      "--dedup-retention-seconds ≥ --token-life-seconds + --allowed-lateness-seconds + --clock-skew-seconds " +
        "(else a live token could count twice) does not hold: --token-life-seconds 86400, " +
        "--allowed-lateness-seconds 300, --clock-skew-seconds 60, --dedup-retention-seconds 9000",
    ]);
    expect(checkRetention({ ...defaults, logRetentionSeconds: 10_000 })).toEqual([
      "--log-retention-seconds ≥ 2 × --dedup-retention-seconds (else a lost store cannot be rebuilt from the " +
        "log) does not hold: --dedup-retention-seconds 9000, --log-retention-seconds 10000",
    ]);
  });

  it("what a ClickCluster takes, programs take, and mean the same by it", () => {
    const within = (name: keyof RetentionConfig, min: number, max: number) => ({
      [name]: fc.integer({ min, max }),
    });
    const some = fc.record({
      ...within("tokenLifeSeconds", 60, 86_400),
      ...within("allowedLatenessSeconds", 0, 3_600),
      ...within("clockSkewSeconds", 1, 85),
      ...within("dedupRetentionSeconds", 60, 172_800),
      ...within("logRetentionSeconds", 3_600, 7_776_000),
    }) as unknown as fc.Arbitrary<RetentionConfig>;
    let taken = 0;
    fc.assert(
      fc.property(some, (retention) => {
        if (checkRetention(retention).length > 0) return;
        taken += 1;
        expect(limitsOf({ ...retention, stateLagSeconds: STATE_LAG_SECONDS })).toEqual(
          limitsOfCluster(spec(retention)),
        );
        assertLimits(limitsOf(retention));
      }),
      { numRuns: 300 },
    );
    expect(taken).toBeGreaterThan(20);
  });

  it("is known by every program that holds to it", () => {
    for (const { name, settings } of [actorSpec, assignSpec, gatewaySpec, ingestSpec, querySpec]) {
      expect(Object.keys(settings), name).toEqual(expect.arrayContaining(Object.keys(retentionSettings)));
    }
  });
});
