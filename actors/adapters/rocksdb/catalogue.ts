/**
 * The Catalogue on RocksDB, with the ads in use in memory; and the list of its changes, from
 * which a projector copies ads elsewhere.
 *
 * Invariants (beside the contract in ports/catalogue.ts)
 *  K1 Each put of an ad gets the next sequence; the ad's older entry in the change list goes in
 *     the same batch. So the list holds each ad once, at its newest state, and its last entry
 *     is the highest sequence ever given.
 *  K2 `put` reads, checks and writes without giving way, so no other put comes in between.
 *  K3 What a load read is put into memory only if no put came while it read (C4 of ports/catalogue.ts).
 *  K4 `apply` decides C2 of ports/catalogue.ts by the order of what it is given alone: the first owner of an ad stays, a
 *     later record of another is left out. The progress goes in the same batch.
 *  K5 A replica's batches are not synced: what a loss of power takes, progress included, is read
 *     from the log again.
 *  K6 The identity is drawn when the catalogue is made: a wiped one has another.
 */
import { existsSync } from "node:fs";
import { LRUCache } from "lru-cache";
import { AdtallyError, isAdtallyError, messageOf } from "../../core/errors.ts";
import { idKeyOf, type IdKey } from "../../core/ids.ts";
import { ownershipConflict, settleAds } from "../../catalogue/ownership.ts";
import type { CatalogueStore } from "../../catalogue/replicated.ts";
import type { Ad } from "../../ports/catalogue.ts";
import { systemRandom } from "../../runtime/clock.ts";
import {
  adKeyBytes,
  CHANGE_PREFIX,
  changeKeyBytes,
  decode,
  encode,
  IDENTITY_KEY,
  ORIGIN_KEY,
  PROGRESS_KEY,
  WHOLE_KEY,
  type Stored,
} from "./catalogue-format.ts";
import { openRocks, type Rocks } from "./rocks.ts";
import { writtenPath } from "./written.ts";

export interface CatalogueChange {
  readonly sequence: number;
  readonly ad: Ad;
}

export interface CatalogueChanges {
  /** Of this catalogue and no other: sequences of another mean nothing here (K6). */
  readonly identity: string;
  /** Highest sequence given so far; 0 for none. */
  lastSequence(): number;
  /** The ads changed after `sequence`, oldest change first. @throws CATALOGUE_UNAVAILABLE */
  changesSince(sequence: number, limit: number): readonly CatalogueChange[];
}

/** What only the folder's owner can do is catalogue-replica.ts's. */
export interface RocksCatalogue extends Omit<CatalogueStore, "damage" | "discard">, CatalogueChanges {
  put(ads: readonly Ad[]): Promise<void>;
  close(): Promise<void>;
}

export interface RocksCatalogueOptions {
  readonly dir: string;
  readonly cacheAds: number;
  /** Fed by `apply` from a log that can make it again (K5): see catalogue-replica.ts. */
  readonly isReplica?: boolean;
  /** It is known to be damaged: reads hold the event loop, and fail one by one (catalogue-replica.ts). */
  readonly isDamaged?: boolean;
}

const IDENTITY_BYTES = 16;

/** @throws DATA_DIR_IN_USE, STORE_CORRUPT, CONFIG_INVALID */
export async function openRocksCatalogue(options: RocksCatalogueOptions): Promise<RocksCatalogue> {
  // Nothing can make that one again, and no other replica has what it has.
  if (options.isReplica === true && existsSync(writtenPath(options.dir))) {
    const why = "holds the catalogue of a program that runs alone: give the replica a folder of its own";
    throw new AdtallyError("CONFIG_INVALID", `${options.dir} ${why}`);
  }
  // Small blocks: an ad is about 100 bytes, and what is read are single ads. Index and filter
  // blocks live in the cache, so that memory is bounded whatever the number of ads.
  const rocks = await openRocks(options.dir, {
    cacheSize: 64 * 1024 * 1024,
    cacheIndexAndFilterBlocks: true,
    memtableMemoryBudget: 64 * 1024 * 1024,
    compaction: "level",
    blockSize: 4_096,
    irreplaceable: options.isReplica !== true,
  });
  return createRocksCatalogue(rocks, options);
}

function createRocksCatalogue(
  rocks: Rocks,
  { cacheAds, isReplica = false, isDamaged = false }: RocksCatalogueOptions,
): RocksCatalogue {
  const memory = new LRUCache<IdKey, Ad>({ max: cacheAds });
  const identity = readIdentity(rocks);
  let sequence = readLastSequence(rocks);
  let origin = rocks.get(ORIGIN_KEY);
  let isWhole = rocks.get(WHOLE_KEY) !== undefined;
  let progress = Number(rocks.get(PROGRESS_KEY)?.readBigUInt64BE(0) ?? 0n);

  const readStored = (keys: readonly IdKey[]): ReadonlyMap<IdKey, Stored> => {
    const stored = new Map<IdKey, Stored>();
    const values = rocks.getMany(keys.map(adKeyBytes));
    for (const [at, key] of keys.entries()) {
      const value = values[at];
      if (value !== undefined) stored.set(key, decode(key, value));
    }
    return stored;
  };

  const loadMissing = async (missing: readonly IdKey[], into: Map<IdKey, Ad>): Promise<void> => {
    const before = sequence;
    const keys = missing.map(adKeyBytes);
    const values = isDamaged ? rocks.getMany(keys) : await rocks.getManyAsync(keys);
    const current =
      sequence === before
        ? new Map(missing.flatMap((key, at) => (values[at] ? [[key, decode(key, values[at])] as const] : [])))
        : readStored(missing);
    for (const [key, { ad }] of current) {
      memory.set(key, ad);
      into.set(key, ad);
    }
  };

  /** One batch: the ads, their places in the change list (K1), and where a replica is (K4). */
  const write = (
    settled: ReadonlyMap<IdKey, Ad>,
    existing: ReadonlyMap<IdKey, Stored>,
    nextProgress: number | undefined,
    nextOrigin: Buffer | undefined,
  ): void => {
    const batch = rocks.batch();
    let next = sequence;
    for (const [key, ad] of settled) {
      next += 1;
      const keyBytes = adKeyBytes(key);
      const older = existing.get(key);
      if (older !== undefined) batch.del(changeKeyBytes(older.sequence));
      batch.put(keyBytes, encode(ad, next));
      batch.put(changeKeyBytes(next), keyBytes.subarray(1));
    }
    if (nextProgress !== undefined) batch.put(PROGRESS_KEY, u64(nextProgress));
    if (nextOrigin !== undefined) batch.put(ORIGIN_KEY, nextOrigin);
    batch.write({ sync: !isReplica });
    sequence = next;
    progress = nextProgress ?? progress;
    origin = nextOrigin ?? origin;
    // An import must not push out the ads in use: only what is in memory is brought up to date.
    for (const [key, ad] of settled) if (memory.has(key)) memory.set(key, ad);
  };

  return {
    identity,
    peek: (adId) => memory.get(adId),

    load: (adIds) =>
      available(async () => {
        const found = new Map<IdKey, Ad>();
        const missing: IdKey[] = [];
        for (const adId of adIds) {
          const ad = memory.get(adId);
          if (ad === undefined) missing.push(adId);
          else found.set(adId, ad);
        }
        if (missing.length > 0) await loadMissing(missing, found);
        return found;
      }),

    put: (ads) =>
      available(async () => {
        if (ads.length === 0) return;
        const existing = readStored([...new Set(ads.map((ad) => idKeyOf(ad.adId)))]);
        const settled = settleAds(ads, (key) => existing.get(key)?.ad);
        write(settled, existing, undefined, undefined);
      }),

    stored: (adIds) => {
      try {
        return new Map([...readStored(adIds)].map(([key, { ad }]) => [key, ad]));
      } catch (error) {
        throw unavailable(error);
      }
    },

    progress: () => progress,
    origin: () => origin,
    isWhole: () => isWhole,

    markWhole: () => {
      const batch = rocks.batch();
      batch.put(WHOLE_KEY, Buffer.alloc(0));
      batch.write({ sync: false });
      isWhole = true;
    },

    apply: (ads, nextProgress, nextOrigin) => {
      const existing = readStored([...new Set(ads.map((ad) => idKeyOf(ad.adId)))]);
      const settled = new Map<IdKey, Ad>();
      for (const ad of ads) {
        const key = idKeyOf(ad.adId);
        if (ownershipConflict(settled.get(key) ?? existing.get(key)?.ad, ad) === undefined)
          settled.set(key, ad);
      }
      write(settled, existing, nextProgress, nextOrigin);
    },

    lastSequence: () => sequence,

    changesSince: (after, limit) => {
      try {
        const keys: IdKey[] = [];
        const sequences: number[] = [];
        const range = {
          gt: changeKeyBytes(after),
          lt: Buffer.from([CHANGE_PREFIX + 1]),
          limit,
          fillCache: false,
        };
        for (const [key, value] of rocks.scan(range)) {
          sequences.push(Number(key.readBigUInt64BE(1)));
          keys.push(idKeyOf(value.readBigUInt64BE(0)));
        }
        const stored = readStored(keys);
        return keys.map((key, at) => ({ sequence: sequences[at]!, ad: stored.get(key)!.ad }));
      } catch (error) {
        throw unavailable(error);
      }
    },

    close: () => rocks.close(),
  };
}

function u64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** K6: synced, so that nothing refers to an identity that a loss of power takes. */
function readIdentity(rocks: Rocks): string {
  let identity = rocks.get(IDENTITY_KEY);
  if (identity === undefined) {
    identity = systemRandom(IDENTITY_BYTES);
    const batch = rocks.batch();
    batch.put(IDENTITY_KEY, identity);
    batch.write({ sync: true });
  }
  return identity.toString("hex");
}

function readLastSequence(rocks: Rocks): number {
  const last = rocks.scan({
    gte: Buffer.from([CHANGE_PREFIX]),
    lt: Buffer.from([CHANGE_PREFIX + 1]),
    reverse: true,
    limit: 1,
  });
  for (const [key] of last) return Number(key.readBigUInt64BE(1));
  return 0;
}

async function available<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw unavailable(error);
  }
}

function unavailable(error: unknown): AdtallyError {
  if (isAdtallyError(error, "CATALOGUE_CONFLICT") || isAdtallyError(error, "CATALOGUE_UNAVAILABLE")) {
    return error;
  }
  return new AdtallyError("CATALOGUE_UNAVAILABLE", `catalogue: ${messageOf(error)}`, { cause: error });
}
