import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createMemoryCatalogue } from "../adapters/memory/memory-catalogue.ts";
import { isUuidV7, uuidV7Ms } from "../core/ids.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { Reason } from "../core/verdict.ts";
import { exampleAd } from "../ports/catalogue.conformance.ts";
import { addGeneration, emptyTable } from "../routing/table.ts";
import { systemClock } from "../runtime/clock.ts";
import { generateKeys } from "../token/keys.ts";
import { createTokenCodec, TokenAt } from "../token/token.ts";
import { issueImpressions } from "./issue.ts";
import { createPlacementService } from "./service.ts";

const now = Date.UTC(2026, 0, 2);
const codec = await createTokenCodec(generateKeys(randomBytes));
const oneGeneration = addGeneration(emptyTable(now), { shardCount: 4 }, now, DEFAULT_LIMITS);
const deps = {
  codec,
  table: () => oneGeneration,
  random: randomBytes,
  limits: DEFAULT_LIMITS,
  publicUrl: () => "http://127.0.0.1:8080",
};

describe("issueImpressions", () => {
  test("signs UUIDv7s of the time given, pinned to the generation in force", () => {
    const [one, two] = issueImpressions(deps, 1001n, 2, now, now);
    expect(isUuidV7(one!.impressionId)).toBe(true);
    expect(uuidV7Ms(one!.impressionId)).toBe(now);
    expect(codec.verify(one!.token)).toBe(Reason.NONE);
    expect(one!.token.readUInt16BE(TokenAt.generation)).toBe(oneGeneration.newestFirst[0]!.number);
    expect(one!.token.readBigUInt64BE(TokenAt.adId)).toBe(1001n);
    expect(one!.token.subarray(TokenAt.impressionId, TokenAt.mac)).toEqual(one!.impressionId);
    expect(one!.clickUrl).toBe(`http://127.0.0.1:8080/click?i=${codec.encodeText(one!.token)}`);
    expect(one!.expiresAtMs).toBe(now + DEFAULT_LIMITS.tokenLifeMs);
    expect(two!.impressionId).not.toEqual(one!.impressionId);
  });

  test("a new generation is pinned from the millisecond at which it takes force, not before", () => {
    const table = addGeneration(oneGeneration, { shardCount: 8 }, now, DEFAULT_LIMITS);
    const [newer, older] = table.newestFirst;
    const generationAt = (atMs: number) =>
      issueImpressions(
        { ...deps, table: () => ({ ...table, readAtMs: atMs }) },
        1n,
        1,
        atMs,
        atMs,
      )[0]!.token.readUInt16BE(TokenAt.generation);
    expect(generationAt(newer!.inForceFromMs - 1)).toBe(older!.number);
    expect(generationAt(newer!.inForceFromMs)).toBe(newer!.number);
  });

  test("issues nothing from a stale table, nor from an empty one", () => {
    const later = now + DEFAULT_LIMITS.routingLeadMs + 1;
    expect(() => issueImpressions(deps, 1n, 1, later, later)).toThrow("too old");
    const empty = { ...deps, table: () => emptyTable(now) };
    expect(() => issueImpressions(empty, 1n, 1, now, now)).toThrow("no routing generation");
  });
});

describe("PlacementService", () => {
  const service = async () => {
    const catalogue = createMemoryCatalogue();
    await catalogue.put([exampleAd(1001n)]);
    return createPlacementService({ ...deps, catalogue, clock: { ...systemClock, now: () => now } });
  };

  test.each([
    [0, 1],
    [1, 1],
    [3, 3],
    [1_001, 1_001],
    [10_000, 10_000],
  ])("count %i gives %i impressions, all different", async (count, given) => {
    const { impressions } = await (
      await service()
    ).issueImpressions({ adId: 1001n, count, advertisers: "all" });
    expect(new Set(impressions.map((each) => each.tokenText)).size).toBe(given);
    expect(impressions).toHaveLength(given);
  });

  test.each([-1, 1.5, 10_001, NaN])("refuses the count %d", async (count) => {
    await expect(
      (await service()).issueImpressions({ adId: 1001n, count, advertisers: "all" }),
    ).rejects.toMatchObject({
      code: "INPUT_INVALID",
    });
  });

  test("an ad that is not in the catalogue is NOT_FOUND by its id", async () => {
    await expect(
      (await service()).issueImpressions({ adId: 7n, count: 1, advertisers: "all" }),
    ).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: expect.stringContaining("ad 7 "),
    });
  });
});
