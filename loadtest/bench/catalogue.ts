/**
 * Does a catalogue of N ads fit? Prints load rate, disk bytes an ad, memory, and lookup rates.
 *
 *   node loadtest/bench/catalogue.ts [--ads 1000000] [--json]
 *
 * Ids are spread over 64 bits, so that inserts land all over the key space, as real ids may.
 */
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openRocksCatalogue, type RocksCatalogue } from "../../actors/adapters/rocksdb/catalogue.ts";
import { mix32 } from "../../actors/core/hash.ts";
import { idKeyOf } from "../../actors/core/ids.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import type { Ad } from "../../actors/ports/catalogue.ts";
import { printLines, type Figures, type Line } from "../lib/report.ts";

const { values: flags } = parseArgs({
  options: { ads: { type: "string", default: "1000000" }, json: { type: "boolean", default: false } },
});
const count = Number(flags.ads);
const LOOKUPS = 200_000;
const LOOKUP_BATCH = 100;
const PEEKS = 2_000_000;

const adIdOf = (n: number): bigint => (BigInt(mix32(n) & 0x1f_ffff) << 32n) | BigInt(n + 1);
const adOf = (n: number): Ad => ({
  adId: adIdOf(n),
  campaignId: BigInt(Math.floor(n / 20) + 1),
  advertiserId: BigInt(Math.floor(n / 1_000) + 1),
  destinationUrl: `https://shop-${n % 5_000}.example/products/${mix32(n)}?utm_source=adtally&utm_campaign=${n % 977}`,
  title: `Summer sale ${n}`,
});

const mib = (bytes: number) => Math.round(bytes / 1024 / 1024);
const memory = (): Figures => {
  const { rss, heapTotal } = process.memoryUsage();
  return { "RSS MiB": mib(rss), "V8 heap MiB": mib(heapTotal) };
};
const rate = (n: number, startedAt: number) => Math.round((n / (performance.now() - startedAt)) * 1_000);
const lines: Line[] = [];
const add = (what: string, figures: Figures) => void lines.push({ test: `catalogue: ${what}`, figures });

async function bytesOf(dir: string): Promise<number> {
  const sizes = await Promise.all(
    (await readdir(dir)).map(async (name) => (await stat(join(dir, name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function lookUp(catalogue: RocksCatalogue, pick: (n: number) => number): Promise<Figures> {
  const startedAt = performance.now();
  let found = 0;
  for (let n = 0; n < LOOKUPS; n += LOOKUP_BATCH) {
    const keys = Array.from({ length: LOOKUP_BATCH }, (_, k) => idKeyOf(adIdOf(pick(n + k))));
    const ads = await catalogue.load(keys);
    for (const key of keys) if (ads.has(key)) found++;
  }
  return {
    "ads a second": rate(LOOKUPS, startedAt),
    "found of them": Math.round((found / LOOKUPS) * 100) / 100,
  };
}

const dir = await mkdtemp(join(tmpdir(), "adtally-bench-catalogue-"));
try {
  add("before", memory());
  const first = await openRocksCatalogue({ dir, cacheAds: DEFAULT_LIMITS.catalogueCacheAds });
  const loadStartedAt = performance.now();
  let longestPutMs = 0;
  for (let n = 0; n < count; n += DEFAULT_LIMITS.importBatchAds) {
    const ads = Array.from({ length: Math.min(DEFAULT_LIMITS.importBatchAds, count - n) }, (_, k) =>
      adOf(n + k),
    );
    const startedAt = performance.now();
    await first.put(ads);
    longestPutMs = Math.max(longestPutMs, performance.now() - startedAt);
  }
  add(`${count.toLocaleString("en")} ads put, each batch of ${DEFAULT_LIMITS.importBatchAds} on disk`, {
    "ads a second": rate(count, loadStartedAt),
    "longest batch ms": Math.round(longestPutMs * 10) / 10,
    ...memory(),
  });
  await first.close();

  const openStartedAt = performance.now();
  const catalogue = await openRocksCatalogue({ dir, cacheAds: DEFAULT_LIMITS.catalogueCacheAds });
  const openMs = Math.round(performance.now() - openStartedAt);
  const bytes = await bytesOf(dir);
  add("opened again", { ms: openMs, "disk MiB": mib(bytes), "disk bytes an ad": Math.round(bytes / count) });

  const anywhere = (n: number) => Math.floor((mix32(n) / 4_294_967_296) * count);
  add(`random ads from disk, ${LOOKUP_BATCH} a call`, await lookUp(catalogue, anywhere));
  add("unknown ads", await lookUp(catalogue, (n) => count + n));
  const hot = (n: number) => mix32(n) % Math.min(count, 10_000);
  await lookUp(catalogue, hot);
  add("ads in memory", await lookUp(catalogue, hot));
  const peekStartedAt = performance.now();
  const keys = Array.from({ length: 10_000 }, (_, n) => idKeyOf(adIdOf(n)));
  let peeked = 0;
  for (let n = 0; n < PEEKS; n++) if (catalogue.peek(keys[n % keys.length]!) !== undefined) peeked++;
  add("ads in memory, without a promise", {
    "ads a second": rate(PEEKS, peekStartedAt),
    "found of them": peeked / PEEKS,
  });
  add("at the end", memory());
  await catalogue.close();
} finally {
  await rm(dir, { recursive: true, force: true });
}
printLines(lines, flags.json);
