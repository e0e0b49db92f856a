import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { virtualClock } from "../../actors/sim/virtual-clock.ts";
import { watchClock } from "./clock-watch.ts";

const skew = DEFAULT_LIMITS.clockSkewMs;
const hour = 3_600_000;

async function watch(leads: readonly (number | undefined)[]) {
  const clock = virtualClock(0);
  const hosts = () => leads.map((clockLeadMs, i) => ({ host: `actor-${i}`, clockLeadMs }));
  const watching = watchClock({ hosts, limits: DEFAULT_LIMITS, clock, logger: silentLogger });
  await clock.advance(1_000);
  return watching;
}

describe("a gateway's clock", () => {
  it.each([
    ["no host has told", [], false],
    ["no host is reachable", [undefined, undefined], false],
    ["it is as far off as is allowed", [skew, -skew], false],
    ["it is a millisecond further off", [skew + 1], true],
    ["it is an hour behind", [-hour, -hour], true],
    ["one host of two is off itself", [hour, 0], false],
    ["two hosts of three say so", [hour, hour, 0], true],
    ["the only one that tells says so", [undefined, -hour], true],
  ])("where %s", async (_, leads, isOff) => {
    expect((await watch(leads)).isOff).toBe(isOff);
  });

  it("is said for /readyz, with by how much and against whom", async () => {
    expect((await watch([hour, -2 * hour])).faults).toEqual([
      "this machine's clock is 3600 s ahead of actor-0's, 7200 s behind actor-1's: set it right (NTP)",
    ]);
  });
});
