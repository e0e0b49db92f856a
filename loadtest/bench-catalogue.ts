/**
 * Does a catalogue of N ads fit? Prints load rate, disk bytes an ad, memory, and lookup rates.
 *
 *   node loadtest/bench-catalogue.ts [ads = 1000000]
 *
 * Ids are spread over 64 bits, so that inserts land all over the key space, as real ids may.
 */
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRocksCatalogue, type RocksCatalogue } from "../actors/adapters/rocksdb/catalogue.ts";
import { mix32 } from "../actors/core/hash.ts";
import { idKeyOf } from "../actors/core/ids.ts";
import { DEFAULT_LIMITS } from "../actors/core/limits.ts";
import type { Ad } from "../actors/ports/catalogue.ts";

const count = Number(process.argv[2] ?? 1_000_000);
const LOOKUPS = 200_000;
const LOOKUP_BATCH = 100;

const adIdOf = (n: number): bigint => (BigInt(mix32(n) & 0x1f_ffff) << 32n) | BigInt(n + 1);
const adOf = (n: number): Ad => ({
  adId: adIdOf(n),
  campaignId: BigInt(Math.floor(n / 20) + 1),
  advertiserId: BigInt(Math.floor(n / 1_000) + 1),
  destinationUrl: `https://shop-${n % 5_000}.example/products/${mix32(n)}?utm_source=adtally&utm_campaign=${n % 977}`,
  title: `Summer sale ${n}`,
});

const mib = (bytes: number) => Math.round(bytes / 1024 / 1024);
const memory = () => {
  const { rss, heapTotal } = process.memoryUsage();
  return `${mib(rss)} MiB, of which V8's heap ${mib(heapTotal)} MiB`;
};
const rate = (n: number, startedAt: number) => Math.round((n / (performance.now() - startedAt)) * 1_000);
const print = (what: string, value: string) => console.log(`${what.padEnd(46)}${value}`);

async function bytesOf(dir: string): Promise<number> {
  const sizes = await Promise.all(
    (await readdir(dir)).map(async (name) => (await stat(join(dir, name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function lookUp(catalogue: RocksCatalogue, pick: (n: number) => number): Promise<string> {
  const startedAt = performance.now();
  let found = 0;
  for (let n = 0; n < LOOKUPS; n += LOOKUP_BATCH) {
    const keys = Array.from({ length: LOOKUP_BATCH }, (_, k) => idKeyOf(adIdOf(pick(n + k))));
    const ads = await catalogue.load(keys);
    for (const key of keys) if (ads.has(key)) found++;
  }
  return `${rate(LOOKUPS, startedAt).toLocaleString()} ads/s, ${found.toLocaleString()} found`;
}

const dir = await mkdtemp(join(tmpdir(), "adtally-bench-catalogue-"));
try {
  print("ads", count.toLocaleString());
  print("memory before (RSS)", memory());
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
  print("put, each batch on disk", `${rate(count, loadStartedAt).toLocaleString()} ads/s`);
  print(`longest put of ${DEFAULT_LIMITS.importBatchAds}`, `${longestPutMs.toFixed(1)} ms`);
  print("memory after the load (RSS)", memory());
  await first.close();

  const openStartedAt = performance.now();
  const catalogue = await openRocksCatalogue({ dir, cacheAds: DEFAULT_LIMITS.catalogueCacheAds });
  print("open again", `${Math.round(performance.now() - openStartedAt)} ms`);
  const bytes = await bytesOf(dir);
  print("on disk", `${mib(bytes)} MiB, ${(bytes / count).toFixed(0)} bytes an ad`);

  const anywhere = (n: number) => Math.floor((mix32(n) / 4_294_967_296) * count);
  print(`cold: ${LOOKUP_BATCH} random ads a load`, await lookUp(catalogue, anywhere));
  print("unknown ads", await lookUp(catalogue, (n) => count + n));
  const hot = (n: number) => mix32(n) % 10_000;
  await lookUp(catalogue, hot);
  print("warm: load of ads in memory", await lookUp(catalogue, hot));
  const peekStartedAt = performance.now();
  const keys = Array.from({ length: 10_000 }, (_, n) => idKeyOf(adIdOf(n)));
  let peeked = 0;
  for (let n = 0; n < 2_000_000; n++) if (catalogue.peek(keys[n % keys.length]!) !== undefined) peeked++;
  print("peek", `${rate(peeked, peekStartedAt).toLocaleString()} ads/s`);
  print("memory at the end (RSS)", memory());
  await catalogue.close();
} finally {
  await rm(dir, { recursive: true, force: true });
}
