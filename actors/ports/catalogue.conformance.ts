/**
 * What every Catalogue must do, by the numbers of its contract (catalogue.ts). An adapter's test
 * calls this with a way to open one; `reopen` is given by adapters that outlive the process.
 */
import { describe, expect, test } from "vitest";
import { U64_MAX, idKeyOf } from "../core/ids.ts";
import type { Ad, Catalogue } from "./catalogue.ts";

export interface OpenCatalogue {
  readonly catalogue: Catalogue;
  close(): Promise<void>;
  /** The same catalogue in a new process: closes the old one. */
  reopen?(): Promise<OpenCatalogue>;
}

export interface OpenOptions {
  /** At most this many ads in memory, where the adapter keeps others elsewhere. */
  readonly cacheAds: number;
}

const CACHE_ADS = 8;

export const exampleAd = (adId: bigint, change: Partial<Ad> = {}): Ad => ({
  adId,
  campaignId: adId / 10n + 1n,
  advertiserId: adId / 100n + 1n,
  destinationUrl: `https://shop.example/${adId}`,
  title: `Ad ${adId}`,
  ...change,
});

const loadAll = async (catalogue: Catalogue, ids: readonly bigint[]) =>
  [...(await catalogue.load(ids.map(idKeyOf))).values()].toSorted((a, b) => (a.adId < b.adId ? -1 : 1));

export function catalogueConformance(
  name: string,
  open: (options: OpenOptions) => Promise<OpenCatalogue>,
  memoryIsAll = false,
): void {
  const withCatalogue = async (run: (catalogue: Catalogue, opened: OpenCatalogue) => Promise<void>) => {
    const opened = await open({ cacheAds: CACHE_ADS });
    try {
      await run(opened.catalogue, opened);
    } finally {
      await opened.close();
    }
  };

  describe(`Catalogue: ${name}`, () => {
    test("C1 what was put is loaded: ids from 1 to 2^64-1, empty and non-Latin titles, an update", () =>
      withCatalogue(async (catalogue) => {
        const ads = [
          exampleAd(1n, { title: "" }),
          exampleAd(9_007_199_254_740_991n),
          exampleAd(9_007_199_254_740_993n, { title: "Stiefel für Kälte 🥾" }),
          exampleAd(U64_MAX, { campaignId: U64_MAX, advertiserId: U64_MAX }),
        ];
        await catalogue.put(ads);
        const ids = ads.map((ad) => ad.adId);
        expect(await loadAll(catalogue, [...ids, 77n])).toEqual(ads);

        const updated = exampleAd(1n, { title: "new", destinationUrl: "https://new.example/" });
        await catalogue.put([updated]);
        expect(await loadAll(catalogue, ids)).toEqual([updated, ...ads.slice(1)]);
      }));

    test("C1 an empty put and an empty load do nothing", () =>
      withCatalogue(async (catalogue) => {
        await catalogue.put([]);
        expect(await loadAll(catalogue, [])).toEqual([]);
      }));

    test("C1 of one ad twice in a put, the last stands", () =>
      withCatalogue(async (catalogue) => {
        const last = exampleAd(5n, { title: "second" });
        await catalogue.put([exampleAd(5n, { title: "first" }), last]);
        expect(await loadAll(catalogue, [5n])).toEqual([last]);
      }));

    test("C1 after a restart everything is still there", async (context) => {
      const opened = await open({ cacheAds: CACHE_ADS });
      if (opened.reopen === undefined) {
        await opened.close();
        return context.skip();
      }
      const ads = Array.from({ length: 100 }, (_, n) => exampleAd(BigInt(n + 1)));
      await opened.catalogue.put(ads);
      const again = await opened.reopen();
      expect(
        await loadAll(
          again.catalogue,
          ads.map((ad) => ad.adId),
        ),
      ).toEqual(ads);
      await again.close();
    });

    for (const [what, change] of [
      ["campaign", { campaignId: 999n }],
      ["advertiser", { advertiserId: 999n }],
    ] as const) {
      test(`C2 an ad that changes its ${what} is CATALOGUE_CONFLICT by its id, and nothing is written`, () =>
        withCatalogue(async (catalogue) => {
          await catalogue.put([exampleAd(7n)]);
          const put = catalogue.put([exampleAd(6n), exampleAd(7n, change), exampleAd(8n)]);
          await expect(put).rejects.toMatchObject({
            code: "CATALOGUE_CONFLICT",
            message: expect.stringContaining("ad 7 "),
          });
          expect(await loadAll(catalogue, [6n, 7n, 8n])).toEqual([exampleAd(7n)]);
          expect(catalogue.peek(6)).toBeUndefined();
        }));

      test(`C2 also within one put (${what})`, () =>
        withCatalogue(async (catalogue) => {
          const put = catalogue.put([exampleAd(7n), exampleAd(7n, change)]);
          await expect(put).rejects.toMatchObject({ code: "CATALOGUE_CONFLICT" });
          expect(await loadAll(catalogue, [7n])).toEqual([]);
        }));
    }

    test("C2 a conflict is found for an ad that is not in memory", () =>
      withCatalogue(async (catalogue) => {
        await catalogue.put(Array.from({ length: 50 }, (_, n) => exampleAd(BigInt(n + 1))));
        for (let id = 1n; id <= 50n; id++) {
          await expect(catalogue.put([exampleAd(id, { campaignId: 999n })])).rejects.toMatchObject({
            code: "CATALOGUE_CONFLICT",
          });
        }
      }));

    test("C3, C4 peek finds what load brought into memory, and an update of it at once", () =>
      withCatalogue(async (catalogue) => {
        expect(catalogue.peek(3)).toBeUndefined();
        await catalogue.put([exampleAd(3n)]);
        await catalogue.load([3]);
        expect(catalogue.peek(3)).toEqual(exampleAd(3n));
        await catalogue.put([exampleAd(3n, { title: "new" })]);
        expect(catalogue.peek(3)?.title).toBe("new");
        expect(catalogue.peek(4)).toBeUndefined();
      }));

    test("C4 a load that runs while the ad is updated never leaves the old one in memory", () =>
      withCatalogue(async (catalogue) => {
        for (let round = 0; round < 50; round++) {
          const id = BigInt(round + 1);
          await catalogue.put([exampleAd(id, { title: "old" })]);
          const loading = catalogue.load([idKeyOf(id)]);
          const updating = catalogue.put([exampleAd(id, { title: "new" })]);
          await Promise.all([loading, updating]);
          expect(catalogue.peek(idKeyOf(id))?.title ?? "new").toBe("new");
        }
      }));

    test.skipIf(memoryIsAll)("C4 memory holds no more than its bound", () =>
      withCatalogue(async (catalogue) => {
        const ads = Array.from({ length: 100 }, (_, n) => exampleAd(BigInt(n + 1)));
        await catalogue.put(ads);
        expect(
          await loadAll(
            catalogue,
            ads.map((ad) => ad.adId),
          ),
        ).toEqual(ads);
        const inMemory = ads.filter((ad) => catalogue.peek(idKeyOf(ad.adId)) !== undefined);
        expect(inMemory.length).toBe(CACHE_ADS);
      }),
    );
  });
}
