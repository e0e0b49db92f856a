import { describe, expect, test } from "vitest";
import { isAdtallyError } from "./errors.ts";
import { assertLimits, DEFAULT_LIMITS, RELATIONS, type Limits } from "./limits.ts";

const refusal = (change: Partial<Limits>): string => {
  try {
    assertLimits({ ...DEFAULT_LIMITS, ...change });
  } catch (error) {
    if (isAdtallyError(error, "LIMITS_INCONSISTENT")) return error.message;
    throw error;
  }
  return "taken";
};

describe("assertLimits", () => {
  test("takes the defaults", () => {
    expect(refusal({})).toBe("taken");
  });

  test("dedup retention: token life + lateness + skew is enough, a millisecond less is not", () => {
    const { tokenLifeMs, allowedLatenessMs, clockSkewMs } = DEFAULT_LIMITS;
    const least = tokenLifeMs + allowedLatenessMs + clockSkewMs;
    expect(refusal({ dedupRetentionMs: least })).toBe("taken");
    expect(refusal({ dedupRetentionMs: least - 1 })).toMatch(/dedupRetentionMs/);
    expect(refusal({ tokenLifeMs: DEFAULT_LIMITS.dedupRetentionMs })).toMatch(/dedupRetentionMs/);
  });

  test.each<[keyof Limits, number, RegExp]>([
    ["windowRetentionMs", DEFAULT_LIMITS.dedupRetentionMs, /windowRetentionMs/],
    ["logRetentionMs", DEFAULT_LIMITS.dedupRetentionMs, /logRetentionMs/],
    ["routingLeadMs", DEFAULT_LIMITS.clockSkewMs, /routingLeadMs/],
    ["countFlushIntervalMs", 501, /countFlushIntervalMs/],
    ["submitDeadlineMs", DEFAULT_LIMITS.appendDeadlineMs, /submitDeadlineMs/],
    ["shardKeepaliveTimeMs", DEFAULT_LIMITS.submitDeadlineMs, /shardKeepaliveTimeMs/],
    ["mailboxMaxClicks", DEFAULT_LIMITS.batchMaxClicks - 1, /mailboxMaxClicks/],
    ["logQueueMaxBytes", DEFAULT_LIMITS.blockMaxBytes, /logQueueMaxBytes/],
    ["blockMaxBytes", 1_048_576, /blockMaxBytes/],
    ["userAgentMaxBytes", 16_384, /userAgentMaxBytes/],
    ["bloomFalsePositiveRate", 0.5, /bloomFalsePositiveRate/],
    ["dedupSliceMs", 90_000, /dedupSliceMs/],
  ])("refuses %s = %d by the relation's name", (name, value, relation) => {
    expect(refusal({ [name]: value })).toMatch(relation);
  });

  test("every relation says what breaks without it", () => {
    for (const [name] of RELATIONS) expect(name.length).toBeGreaterThan(20);
  });
});
