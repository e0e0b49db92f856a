import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { createKeyLimits } from "./key-limits.ts";

test("a key has its calls of each kind in a window, told when to come back, and another key its own", async () => {
  const limits = createKeyLimits({ ...DEFAULT_LIMITS, keyReadCallsPerWindow: 2 });
  await limits.take("a", "read");
  await limits.take("a", "read");
  const refused = limits.take("a", "read");
  await expect(refused).rejects.toMatchObject({ code: "RATE_LIMITED", after: "retry" });
  const { retryAfterMs } = await refused.then(
    () => ({ retryAfterMs: 0 }),
    (error: { retryAfterMs: number }) => error,
  );
  expect(retryAfterMs).toBeGreaterThan(0);
  expect(retryAfterMs).toBeLessThanOrEqual(DEFAULT_LIMITS.keyWindowMs);
  await limits.take("a", "submit");
  await limits.take("b", "read");
});

test("a window passes", async () => {
  const limits = createKeyLimits({ ...DEFAULT_LIMITS, keyWindowMs: 50, keyReadCallsPerWindow: 1 });
  await limits.take("a", "read");
  await expect
    .poll(() =>
      limits.take("a", "read").then(
        () => true,
        () => false,
      ),
    )
    .toBe(true);
});
