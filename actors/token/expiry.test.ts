import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { expiresAtMs, judgeAge } from "./expiry.ts";

const bornMs = 1_700_000_000_000;
const { tokenLifeMs, clockSkewMs } = DEFAULT_LIMITS;
const ageAt = (receivedMs: number) => judgeAge(bornMs, receivedMs, DEFAULT_LIMITS);

describe("an impression's age", () => {
  it("is live to the last millisecond of the token's life and expired on the next", () => {
    expect(expiresAtMs(bornMs, DEFAULT_LIMITS)).toBe(bornMs + tokenLifeMs);
    expect(ageAt(bornMs + tokenLifeMs)).toBe("live");
    expect(ageAt(bornMs + tokenLifeMs + 1)).toBe("expired");
  });

  it("is live within the clock skew before its birth and in the future beyond it", () => {
    expect(ageAt(bornMs)).toBe("live");
    expect(ageAt(bornMs - clockSkewMs)).toBe("live");
    expect(ageAt(bornMs - clockSkewMs - 1)).toBe("in-future");
  });
});
