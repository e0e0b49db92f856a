import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  catalogueConformance,
  exampleAd,
  type OpenCatalogue,
  type OpenOptions,
} from "../../ports/catalogue.conformance.ts";
import { openRocksCatalogue, type RocksCatalogue } from "./catalogue.ts";

async function openAt(dir: string, options: OpenOptions): Promise<OpenCatalogue> {
  const catalogue = await openRocksCatalogue({ dir, ...options });
  return {
    catalogue,
    close: async () => {
      await catalogue.close();
      await rm(dir, { recursive: true });
    },
    reopen: async () => {
      await catalogue.close();
      return openAt(dir, options);
    },
  };
}

const freshDir = () => mkdtemp(join(tmpdir(), "adtally-catalogue-"));

catalogueConformance("RocksDB", async (options) => openAt(await freshDir(), options));

describe("changes of the RocksDB catalogue", () => {
  const ids = (changes: ReturnType<RocksCatalogue["changesSince"]>) =>
    changes.map(({ sequence, ad }) => [sequence, ad.adId]);

  test("list each ad once, at its newest state, oldest change first, and go on after a restart", async () => {
    const dir = await freshDir();
    const first = await openRocksCatalogue({ dir, cacheAds: 10 });
    expect([first.lastSequence(), first.changesSince(0, 10)]).toEqual([0, []]);
    await first.put([exampleAd(1n), exampleAd(2n), exampleAd(3n)]);
    const updated = exampleAd(2n, { title: "new" });
    await first.put([updated]);
    expect(ids(first.changesSince(0, 10))).toEqual([
      [1, 1n],
      [3, 3n],
      [4, 2n],
    ]);
    expect(first.changesSince(3, 10)).toEqual([{ sequence: 4, ad: updated }]);
    expect(ids(first.changesSince(0, 1))).toEqual([[1, 1n]]);
    await first.close();

    const second = await openRocksCatalogue({ dir, cacheAds: 10 });
    expect(second.lastSequence()).toBe(4);
    await second.put([exampleAd(9n)]);
    expect(ids(second.changesSince(4, 10))).toEqual([[5, 9n]]);
    expect(second.changesSince(5, 10)).toEqual([]);
    await second.close();
    await rm(dir, { recursive: true });
  });

  test("a refused put leaves no change behind", async () => {
    const dir = await freshDir();
    const catalogue = await openRocksCatalogue({ dir, cacheAds: 10 });
    await catalogue.put([exampleAd(1n)]);
    await expect(catalogue.put([exampleAd(2n), exampleAd(1n, { campaignId: 9n })])).rejects.toThrow("ad 1 ");
    expect(ids(catalogue.changesSince(0, 10))).toEqual([[1, 1n]]);
    expect(catalogue.lastSequence()).toBe(1);
    await catalogue.close();
    await rm(dir, { recursive: true });
  });

  test("a closed catalogue is CATALOGUE_UNAVAILABLE", async () => {
    const dir = await freshDir();
    const catalogue = await openRocksCatalogue({ dir, cacheAds: 10 });
    await catalogue.close();
    await expect(catalogue.load([1])).rejects.toMatchObject({ code: "CATALOGUE_UNAVAILABLE" });
    await expect(catalogue.put([exampleAd(1n)])).rejects.toMatchObject({ code: "CATALOGUE_UNAVAILABLE" });
    expect(() => catalogue.changesSince(0, 1)).toThrow("closed");
    await rm(dir, { recursive: true });
  });
});

describe("a replica on RocksDB", () => {
  test("keeps ads and progress together over a restart, and its identity; another one has another", async () => {
    const dir = await freshDir();
    const first = await openRocksCatalogue({ dir, cacheAds: 10, isReplica: true });
    expect(first.progress()).toBe(0);
    first.apply([exampleAd(1n), exampleAd(2n), exampleAd(1n, { campaignId: 9n })], 17);
    first.apply([exampleAd(2n, { title: "new" }), exampleAd(1n, { advertiserId: 9n })], 19);
    await first.close();
    const second = await openRocksCatalogue({ dir, cacheAds: 10, isReplica: true });
    expect(second.progress()).toBe(19);
    expect([...second.stored([1, 2, 3]).values()]).toEqual([exampleAd(1n), exampleAd(2n, { title: "new" })]);
    expect(second.identity).toBe(first.identity);
    await second.close();
    await rm(dir, { recursive: true });
    const other = await openRocksCatalogue({ dir, cacheAds: 10, isReplica: true });
    expect(other.identity).not.toBe(first.identity);
    await other.close();
    await rm(dir, { recursive: true });
  });

  test("is never opened over the catalogue of a program that runs alone, damaged or not", async () => {
    const dir = await freshDir();
    const alone = await openRocksCatalogue({ dir, cacheAds: 10 });
    await alone.put([exampleAd(1n)]);
    await alone.close();
    const asReplica = () => openRocksCatalogue({ dir, cacheAds: 10, isReplica: true });
    await expect(asReplica()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await writeFile(join(dir, "CURRENT"), "MANIFEST-999999\n");
    await expect(asReplica()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await rm(dir, { recursive: true });
  });
});
