import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createMemoryCatalogue } from "../adapters/memory/memory-catalogue.ts";
import { AdtallyError } from "../core/errors.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { exampleAd } from "../ports/catalogue.conformance.ts";
import type { Ad, Catalogue } from "../ports/catalogue.ts";
import { systemClock } from "../runtime/clock.ts";
import { adToJson } from "./ad.ts";
import { importAds, type ImportResult } from "./import.ts";
import { linesOf } from "./lines.ts";

async function* inChunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function lines(text: string | Buffer, size: number, maxBytes: number) {
  const found: [number, string][] = [];
  for await (const some of linesOf(inChunks(Buffer.from(text), size), maxBytes)) {
    for (const { number, bytes } of some) {
      found.push([number, bytes === "too-long" ? "<too long>" : bytes.toString()]);
    }
  }
  return found;
}

describe("linesOf", () => {
  test.each([1, 2, 3, 5, 100])("chunks of %i bytes give the same lines", async (size) => {
    expect(await lines("ab\n\r\ncd\r\n12345\n123456\n123456789012\nü€", size, 5)).toEqual([
      [1, "ab"],
      [2, ""],
      [3, "cd"],
      [4, "12345"],
      [5, "<too long>"],
      [6, "<too long>"],
      [7, "ü€"],
    ]);
    expect(await lines("123456", size, 5)).toEqual([[1, "<too long>"]]);
    expect(await lines("a\n", size, 5)).toEqual([[1, "a"]]);
    expect(await lines("12345\r\n123456\r\n", size, 5)).toEqual([
      [1, "12345"],
      [2, "<too long>"],
    ]);
    expect(await lines("", size, 5)).toEqual([]);
  });

  test("any text in any chunks is what split gives", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("a", "bc", "\n", "é"), { maxLength: 40 }),
        fc.integer({ min: 1, max: 9 }),
        async (parts, size) => {
          const text = parts.join("");
          const split = text.split("\n");
          if (split.at(-1) === "") split.pop();
          expect((await lines(text, size, 1_000)).map(([, line]) => line)).toEqual(split);
        },
      ),
      process.env["ADTALLY_SEED"] === undefined ? {} : { seed: Number(process.env["ADTALLY_SEED"]) },
    );
  });
});

const ndjson = (...rows: unknown[]) =>
  Buffer.from(rows.map((row) => (typeof row === "string" ? row : JSON.stringify(row))).join("\n"));

async function run(catalogue: Catalogue, input: Buffer, limits: Partial<typeof DEFAULT_LIMITS> = {}) {
  const reports: object[] = [];
  const deps = { catalogue, clock: systemClock, limits: { ...DEFAULT_LIMITS, ...limits } };
  for await (const report of importAds(inChunks(input, 1_000), deps)) reports.push(report);
  return { reports, result: reports.at(-1) as ImportResult };
}

const json = (adId: bigint, change: Partial<Ad> = {}) => adToJson(exampleAd(adId, change));

describe("importAds", () => {
  test("takes good lines and names each bad one by its number and reason", async () => {
    const catalogue = createMemoryCatalogue();
    await catalogue.put([exampleAd(5n)]);
    const { result } = await run(
      catalogue,
      ndjson(
        json(1n),
        "{broken",
        "",
        { ...json(2n), ad_id: 2 },
        { ...json(3n), destination_url: "//evil" },
        json(5n, { campaignId: 99n }),
        "[]",
        "x".repeat(20_000),
        json(6n),
        json(6n, { advertiserId: 99n }),
        "   ",
        json(7n),
      ),
    );
    expect(result).toMatchObject({ lines: 10, imported: 3, rejected: 7 });
    expect(result.errors.map(({ line }) => line)).toEqual([2, 4, 5, 6, 7, 8, 10]);
    expect(result.errors.map(({ reason }) => reason)).toEqual([
      expect.stringContaining("is not JSON"),
      expect.stringContaining("ad_id must be"),
      expect.stringContaining("destination_url must be absolute"),
      expect.stringContaining("ad 5 belongs to campaign 1"),
      "an ad must be a JSON object",
      "is longer than 16384 bytes",
      expect.stringContaining("ad 6 belongs to"),
    ]);
    expect(result.failed).toBeUndefined();
    expect([...(await catalogue.load([1, 2, 3, 5, 6, 7])).keys()]).toEqual([1, 5, 6, 7]);
  });

  test("bytes that are not UTF-8 reject their line alone", async () => {
    const bad = Buffer.from(`{"ad_id":"1","title":"\u00ff"}\n`, "latin1");
    const { result } = await run(createMemoryCatalogue(), Buffer.concat([bad, ndjson(json(1n))]));
    expect(result).toMatchObject({ imported: 1, errors: [{ line: 1, reason: "is not valid UTF-8" }] });
  });

  test("names the first hundred bad lines and counts all", async () => {
    const { result } = await run(createMemoryCatalogue(), ndjson(...Array.from({ length: 250 }, () => "{")));
    expect(result).toMatchObject({ lines: 250, imported: 0, rejected: 250 });
    expect(result.errors).toHaveLength(100);
  });

  test("reports progress on the way, whose sums only grow", async () => {
    const rows = Array.from({ length: 2_000 }, (_, n) => json(BigInt(n + 1)));
    const { reports, result } = await run(createMemoryCatalogue(), ndjson(...rows), {
      importProgressIntervalMs: 0,
      importBatchAds: 100,
    });
    expect(result).toMatchObject({ lines: 2_000, imported: 2_000, rejected: 0, errors: [] });
    const imported = reports.map((report) => (report as ImportResult).imported);
    expect(imported.length).toBeGreaterThan(20);
    expect(imported).toEqual(imported.toSorted((a, b) => a - b));
    expect(imported.some((count) => count > 0 && count < 2_000)).toBe(true);
  });

  test("ads that come slowly are written at each report, not only when a batch is full", async () => {
    const { reports } = await run(
      createMemoryCatalogue(),
      ndjson(json(1n), json(2n), json(3n), "x".repeat(2_000)),
      {
        importProgressIntervalMs: 0,
      },
    );
    expect(reports[0]).toEqual({ lines: 3, imported: 3, rejected: 0 });
  });

  test("a catalogue that fails ends the import by name, and counts only what is on disk", async () => {
    const catalogue = createMemoryCatalogue();
    let puts = 0;
    const failing: Catalogue = {
      ...catalogue,
      put: async (ads) => {
        if (puts++ === 2) throw new AdtallyError("CATALOGUE_UNAVAILABLE", "disk full");
        return catalogue.put(ads);
      },
    };
    const rows = Array.from({ length: 500 }, (_, n) => json(BigInt(n + 1)));
    const reports: object[] = [];
    const deps = {
      catalogue: failing,
      clock: systemClock,
      limits: { ...DEFAULT_LIMITS, importBatchAds: 100 },
    };
    await expect(async () => {
      for await (const report of importAds(inChunks(ndjson(...rows), 500), deps)) reports.push(report);
    }).rejects.toThrow("disk full");
    expect(reports.at(-1)).toMatchObject({ imported: 200, failed: { code: "CATALOGUE_UNAVAILABLE" } });
  });

  test("can be repeated", async () => {
    const catalogue = createMemoryCatalogue();
    for (let round = 0; round < 2; round++) {
      expect((await run(catalogue, ndjson(json(1n), json(2n)))).result).toMatchObject({ imported: 2 });
    }
  });
});
