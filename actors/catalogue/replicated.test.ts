import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { createMemoryKeyedLog, type MemoryKeyedLog } from "../adapters/memory/memory-keyed-log.ts";
import { catalogueConformance, exampleAd, type OpenCatalogue } from "../ports/catalogue.conformance.ts";
import type { Ad } from "../ports/catalogue.ts";
import { keyed } from "../ports/keyed-log.conformance.ts";
import type { KeyedLog } from "../ports/keyed-log.ts";
import { seal } from "../replica/seal.ts";
import { systemRandom } from "../runtime/clock.ts";
import { claimRecord, decodeAd, updateRecord } from "./ad-records.ts";
import { ownershipConflict } from "./ownership.ts";
import {
  openReadyReplica,
  openTestReplica,
  type TestReplica,
  type TestReplicaOptions,
} from "./replicated.fixture.ts";

const seed = Number(process.env["ADTALLY_SEED"] ?? 1);

const asOpen = (replica: TestReplica): OpenCatalogue => ({
  catalogue: replica.catalogue,
  close: () => replica.close(),
  reopen: async () => {
    const again = await replica.reopen();
    await again.catalogue.replica.ready();
    return asOpen(again);
  },
});

catalogueConformance("replicated by a memory log", async ({ cacheAds }) =>
  asOpen(await openReadyReplica({ log: createMemoryKeyedLog(), cacheAds })),
);

const open: TestReplica[] = [];
afterEach(async () => {
  for (const replica of open.splice(0)) await replica.close();
});

async function start(log: MemoryKeyedLog, options: Partial<TestReplicaOptions> = {}): Promise<TestReplica> {
  const replica = await openReadyReplica({ log, ...options });
  open.push(replica);
  return replica;
}

/** All that a replica holds, as text. */
function contents({ store }: TestReplica): readonly string[] {
  return store
    .changesSince(0, 1_000_000)
    .map(({ ad }) => `${ad.adId} ${ad.campaignId} ${ad.advertiserId} ${ad.title}`)
    .toSorted();
}

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "resolved",
    (error: { code?: string }) => error.code ?? String(error),
  );

describe("ads as records", () => {
  test("every ad comes back; two claims of one ad have two keys, two updates one", () => {
    const ad = exampleAd(18_446_744_073_709_551_615n, { title: "Stiefel 🥾" });
    for (const record of [claimRecord(ad, systemRandom), updateRecord(ad)]) {
      expect(decodeAd(record.value)).toEqual(ad);
    }
    const claims = [claimRecord(ad, systemRandom), claimRecord(ad, systemRandom)];
    expect(claims[0]!.key.equals(claims[1]!.key)).toBe(false);
    expect(updateRecord(ad).key.equals(updateRecord({ ...ad, title: "new" }).key)).toBe(true);
    expect(updateRecord(ad).key.equals(updateRecord({ ...ad, campaignId: 1n }).key)).toBe(false);
  });

  test("a value with any bit flipped, cut short or of another version is none", () => {
    const { value } = updateRecord(exampleAd(7n));
    for (let bit = 0; bit < value.length * 8; bit++) {
      const flipped = Buffer.from(value);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(decodeAd(flipped)).toEqual(expect.any(String));
    }
    for (let length = 0; length < value.length; length++) {
      expect(decodeAd(value.subarray(0, length))).toEqual(expect.any(String));
    }
    expect(decodeAd(seal(2, value.subarray(1, -4)))).toContain("version is 2");
    expect(decodeAd(seal(1, value.subarray(1, 20)))).toContain("bytes");
  });
});

describe("replicated catalogue", () => {
  test("M2 of two gateways that claim one ad at once, the log's first has it, and the other is told", async () => {
    const log = createMemoryKeyedLog();
    const [a, b] = [await start(log), await start(log)];
    const ours = exampleAd(7n, { campaignId: 1n });
    const theirs = exampleAd(7n, { campaignId: 2n });
    const results = await Promise.all([codeOf(a.catalogue.put([ours])), codeOf(b.catalogue.put([theirs]))]);
    expect(results).toEqual(["resolved", "CATALOGUE_CONFLICT"]);
    // The refused claim is the newer record: compaction by ad id alone would leave only that.
    log.compact();
    const c = await start(log);
    for (const each of [a, b, c]) expect((await each.catalogue.load([7])).get(7)).toEqual(ours);
    await expect(b.catalogue.put([theirs])).rejects.toThrow("ad 7 belongs to campaign 1");
  });

  test("J3 a replica that begins at any time, whatever compaction took, ends as all others", async () => {
    const step = fc.record({
      ad: fc.integer({ min: 1, max: 3 }),
      owner: fc.integer({ min: 1, max: 3 }),
      // How far behind the writer's replica is, in records: what it does not know it claims.
      behind: fc.nat({ max: 4 }),
      again: fc.boolean(),
      compact: fc.option(fc.nat({ max: 60 }), { freq: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const log = createMemoryKeyedLog();
        const whole: Ad[] = [];
        const fold = (ads: readonly Ad[]) => {
          const state = new Map<bigint, Ad>();
          for (const ad of ads)
            if (ownershipConflict(state.get(ad.adId), ad) === undefined) state.set(ad.adId, ad);
          return state;
        };
        for (const [n, { ad: id, owner, behind, again, compact }] of steps.entries()) {
          const ad = exampleAd(BigInt(id), { campaignId: BigInt(owner), title: `t${n}` });
          const known = fold(whole.slice(0, Math.max(0, whole.length - behind))).get(ad.adId);
          if (ownershipConflict(known, ad) !== undefined) continue;
          for (let times = again ? 2 : 1; times > 0; times--) {
            await log.append([known === undefined ? claimRecord(ad, systemRandom) : updateRecord(ad)]);
            whole.push(ad);
          }
          if (compact !== null) log.compact(compact);
        }
        log.compact();
        const kept = (await log.read(0, 1e9)).records.map(({ value }) => decodeAd(value) as Ad);
        expect(fold(kept)).toEqual(fold(whole));
      }),
      { seed, numRuns: 300 },
    );
  });

  test("P1, P2 a replica that restarts again and again, with writers beside it, ends as all others", async () => {
    const log = createMemoryKeyedLog();
    const [a, b] = [await start(log), await start(log)];
    let c = await openReadyReplica({ log });
    for (let round = 0; round < 8; round++) {
      const ads = (campaign: bigint) =>
        Array.from({ length: 30 }, (_, n) =>
          exampleAd(BigInt(round * 20 + n + 1), { campaignId: campaign, title: `round ${round}` }),
        );
      await Promise.all([codeOf(a.catalogue.put(ads(1n))), codeOf(b.catalogue.put(ads(2n)))]);
      if (round % 3 === 2) log.compact();
      c = await c.reopen();
      // A claim for each ad that is new, at the least: nothing was read twice.
      expect(c.store.progress()).toBeLessThanOrEqual(await log.end());
    }
    open.push(c);
    const d = await start(log);
    await a.catalogue.replica.confirmed(1_000);
    await b.catalogue.replica.confirmed(1_000);
    await c.catalogue.replica.confirmed(1_000);
    expect(contents(a).length).toBeGreaterThan(150);
    for (const each of [b, c, d]) expect(contents(each)).toEqual(contents(a));
  });

  test("M3 an ad that another gateway has just put is found, however seldom the replica looks", async () => {
    const log = createMemoryKeyedLog();
    const limits = { replicaFollowIntervalMs: 60_000 };
    const [a, b] = [await start(log, { limits }), await start(log, { limits })];
    expect((await b.catalogue.load([1, 2])).size).toBe(0);
    await a.catalogue.put([exampleAd(1n)]);
    expect((await b.catalogue.load([1, 2])).get(1)).toEqual(exampleAd(1n));
    expect(b.catalogue.peek(1)).toEqual(exampleAd(1n));
  });

  test("M3 a thousand questions for unknown ads share the reads, and do not spin", async () => {
    const log = createMemoryKeyedLog();
    const a = await start(log);
    const before = log.reads();
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: 1_000 }, (_, n) => a.catalogue.load([n + 1])));
    // One for every 10 ms that it took, and the first and last.
    expect(log.reads() - before).toBeLessThan((performance.now() - startedAt) / 10 + 3);
  });

  test("with the log gone, what is known is served, what is not is CATALOGUE_UNAVAILABLE, and it comes back", async () => {
    const log = createMemoryKeyedLog();
    const limits = { reconnectMaxMs: 50, catalogueDeadlineMs: 500 };
    const [a, b] = [await start(log, { limits }), await start(log, { limits })];
    await a.catalogue.put([exampleAd(1n)]);
    log.setDown(true);
    await expect.poll(() => a.catalogue.replica.status().fault).toContain("unavailable");
    expect((await a.catalogue.load([1])).get(1)).toEqual(exampleAd(1n));
    expect(await codeOf(a.catalogue.load([1, 2]))).toBe("CATALOGUE_UNAVAILABLE");
    expect(await codeOf(a.catalogue.put([exampleAd(2n)]))).toBe("CATALOGUE_UNAVAILABLE");
    expect(a.catalogue.replica.status().isReady).toBe(true);
    log.setDown(false);
    await expect.poll(() => a.catalogue.replica.status().fault).toBeUndefined();
    await a.catalogue.put([exampleAd(2n)]);
    expect((await b.catalogue.load([2])).size).toBe(1);
  });

  test("M4 a put whose answer was lost is unavailable, may be put again, and is there once", async () => {
    const log = createMemoryKeyedLog();
    const a = await start(log);
    log.failNext("answer-lost");
    expect(await codeOf(a.catalogue.put([exampleAd(1n)]))).toBe("CATALOGUE_UNAVAILABLE");
    await a.catalogue.put([exampleAd(1n, { title: "again" })]);
    expect(contents(a)).toEqual(["1 1 1 again"]);
  });

  test("P3 it is ready when it has all that the log held at the start, and refuses to write before", async () => {
    const log = createMemoryKeyedLog();
    const a = await start(log);
    await a.catalogue.put(Array.from({ length: 5_000 }, (_, n) => exampleAd(BigInt(n + 1))));
    const b = await openTestReplica({ log });
    open.push(b);
    expect(b.catalogue.replica.status().isReady).toBe(false);
    expect(await codeOf(b.catalogue.put([exampleAd(9_999n)]))).toBe("CATALOGUE_UNAVAILABLE");
    await b.catalogue.replica.ready();
    expect(b.catalogue.replica.status()).toMatchObject({ isReady: true, progress: 5_000, end: 5_000 });
    expect(contents(b)).toEqual(contents(a));
  });

  test("P3 it is not ready while the log cannot be asked", async () => {
    const log = createMemoryKeyedLog();
    log.setDown(true);
    const a = await openTestReplica({ log, limits: { reconnectMaxMs: 30 } });
    open.push(a);
    await expect.poll(() => a.catalogue.replica.status().fault).toContain("unavailable");
    expect(a.catalogue.replica.status().isReady).toBe(false);
    log.setDown(false);
    await a.catalogue.replica.ready();
  });

  test("P4 poison records are passed over by their offsets, and the rest goes on", async () => {
    const log = createMemoryKeyedLog();
    for (let n = 1; n <= 8; n++) await log.append([claimRecord(exampleAd(BigInt(n)), systemRandom)]);
    await log.append([keyed("junk", "not an ad"), keyed("empty", "")]);
    await log.append([claimRecord(exampleAd(9n), systemRandom)]);
    log.flipBit(2);
    log.damage(0);
    log.damage(5);
    const a = await start(log);
    expect(a.catalogue.replica.status()).toMatchObject({ quarantined: 5, progress: 11 });
    expect(contents(a).map((each) => each.split(" ")[0])).toEqual(["2", "4", "5", "7", "8", "9"]);
  });

  test("P5 a log that was made anew while the replica runs takes no put that nobody would see", async () => {
    let now = createMemoryKeyedLog();
    const log: KeyedLog = {
      append: (records) => now.append(records),
      read: (from, maxBytes) => now.read(from, maxBytes),
      end: () => now.end(),
    };
    const limits = { replicaFollowIntervalMs: 60_000, reconnectMaxMs: 50 };
    const a = await openReadyReplica({ log, limits });
    open.push(a);
    for (let n = 1n; n <= 5n; n++) await a.catalogue.put([exampleAd(n)]);
    await a.catalogue.replica.confirmed(1_000);
    now = createMemoryKeyedLog();
    expect(await codeOf(a.catalogue.put([exampleAd(6n)]))).toBe("CATALOGUE_UNAVAILABLE");
    expect(await codeOf(a.catalogue.load([6]))).toBe("CATALOGUE_UNAVAILABLE");
    for (let n = 1; n <= 9; n++) await now.append([claimRecord(exampleAd(BigInt(n)), systemRandom)]);
    await expect.poll(() => a.catalogue.replica.status().fault).toContain("first record is another one");
    expect(await codeOf(a.catalogue.put([exampleAd(6n)]))).toBe("CATALOGUE_UNAVAILABLE");
  });

  test("who waits for a replica that stops is told", async () => {
    const log = createMemoryKeyedLog();
    const a = await openReadyReplica({ log });
    const waiting = codeOf(a.catalogue.replica.applied(99, 5_000));
    await a.close();
    expect(await waiting).toBe("ABORTED");
    expect(await codeOf(a.catalogue.put([exampleAd(1n)]))).toBe("CATALOGUE_UNAVAILABLE");
  });
});
