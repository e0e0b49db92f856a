/**
 * The Catalogue on RocksDB, with the ads in use in memory; and the list of its changes, from
 * which a projector copies ads elsewhere.
 *
 * Keys                          Values
 *   'a' + ad id, u64 BE         version u8 | campaign u64 | advertiser u64 | sequence u48 |
 *                               title bytes u16 | title | destination URL
 *   'c' + sequence, u64 BE      ad id, u64 BE
 *
 * Invariants (beside the contract in ports/catalogue.ts)
 *  K1 Each put of an ad gets the next sequence; the ad's older entry in the change list goes in
 *     the same batch. So the list holds each ad once, at its newest state, and its last entry
 *     is the highest sequence ever given.
 *  K2 `put` reads, checks and writes without giving way, so no other put comes in between.
 *  K3 What a load read is put into memory only if no put came while it read (C4).
 */
import { LRUCache } from "lru-cache";
import { AdtallyError, isAdtallyError, messageOf } from "../../core/errors.ts";
import { idKeyOf, type IdKey } from "../../core/ids.ts";
import { settleAds } from "../../catalogue/ownership.ts";
import type { Ad, Catalogue } from "../../ports/catalogue.ts";
import { openRocks, type Rocks } from "./rocks.ts";

export interface CatalogueChange {
  readonly sequence: number;
  readonly ad: Ad;
}

export interface CatalogueChanges {
  /** Highest sequence given so far; 0 for none. */
  lastSequence(): number;
  /** The ads changed after `sequence`, oldest change first. @throws CATALOGUE_UNAVAILABLE */
  changesSince(sequence: number, limit: number): readonly CatalogueChange[];
}

export interface RocksCatalogue extends Catalogue, CatalogueChanges {
  close(): Promise<void>;
}

export interface RocksCatalogueOptions {
  readonly dir: string;
  readonly cacheAds: number;
}

const AD_PREFIX = 0x61;
const CHANGE_PREFIX = 0x63;
const KEY_BYTES = 9;
const VALUE_VERSION = 1;
const At = { version: 0, campaign: 1, advertiser: 9, sequence: 17, titleBytes: 23, title: 25 } as const;

export async function openRocksCatalogue(options: RocksCatalogueOptions): Promise<RocksCatalogue> {
  // Small blocks: an ad is about 100 bytes, and what is read are single ads. Index and filter
  // blocks live in the cache, so that memory is bounded whatever the number of ads.
  const rocks = await openRocks(options.dir, {
    cacheSize: 64 * 1024 * 1024,
    cacheIndexAndFilterBlocks: true,
    memtableMemoryBudget: 64 * 1024 * 1024,
    compaction: "level",
    blockSize: 4_096,
    irreplaceable: true,
  });
  return createRocksCatalogue(rocks, options.cacheAds);
}

function createRocksCatalogue(rocks: Rocks, cacheAds: number): RocksCatalogue {
  const memory = new LRUCache<IdKey, Ad>({ max: cacheAds });
  let sequence = readLastSequence(rocks);

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
    const values = await rocks.getManyAsync(missing.map(adKeyBytes));
    const current =
      sequence === before
        ? new Map(missing.flatMap((key, at) => (values[at] ? [[key, decode(key, values[at])] as const] : [])))
        : readStored(missing);
    for (const [key, { ad }] of current) {
      memory.set(key, ad);
      into.set(key, ad);
    }
  };

  return {
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
        batch.write({ sync: true });
        sequence = next;
        // An import must not push out the ads in use: only what is in memory is brought up to date.
        for (const [key, ad] of settled) if (memory.has(key)) memory.set(key, ad);
      }),

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

interface Stored {
  readonly ad: Ad;
  readonly sequence: number;
}

function adKeyBytes(key: IdKey): Buffer {
  const bytes = Buffer.allocUnsafe(KEY_BYTES);
  bytes[0] = AD_PREFIX;
  if (typeof key === "number") {
    bytes.writeUInt32BE(Math.floor(key / 4_294_967_296), 1);
    bytes.writeUInt32BE(key >>> 0, 5);
  } else {
    bytes.writeBigUInt64BE(key, 1);
  }
  return bytes;
}

function changeKeyBytes(sequence: number): Buffer {
  const bytes = Buffer.allocUnsafe(KEY_BYTES);
  bytes[0] = CHANGE_PREFIX;
  bytes.writeUInt16BE(0, 1);
  bytes.writeUIntBE(sequence, 3, 6);
  return bytes;
}

function encode(ad: Ad, sequence: number): Buffer {
  const titleBytes = Buffer.byteLength(ad.title);
  const value = Buffer.allocUnsafe(At.title + titleBytes + Buffer.byteLength(ad.destinationUrl));
  value[At.version] = VALUE_VERSION;
  value.writeBigUInt64BE(ad.campaignId, At.campaign);
  value.writeBigUInt64BE(ad.advertiserId, At.advertiser);
  value.writeUIntBE(sequence, At.sequence, 6);
  value.writeUInt16BE(titleBytes, At.titleBytes);
  value.write(ad.title, At.title);
  value.write(ad.destinationUrl, At.title + titleBytes);
  return value;
}

function decode(key: IdKey, value: Buffer): Stored {
  if (value[At.version] !== VALUE_VERSION || value.length < At.title) {
    throw new AdtallyError(
      "CATALOGUE_UNAVAILABLE",
      `catalogue: ad ${key} is stored in version ${value[At.version]}, and this program reads version ` +
        `${VALUE_VERSION}: start the newer program`,
    );
  }
  const urlAt = At.title + value.readUInt16BE(At.titleBytes);
  return {
    sequence: value.readUIntBE(At.sequence, 6),
    ad: {
      adId: BigInt(key),
      campaignId: value.readBigUInt64BE(At.campaign),
      advertiserId: value.readBigUInt64BE(At.advertiser),
      destinationUrl: value.toString("utf8", urlAt),
      title: value.toString("utf8", At.title, urlAt),
    },
  };
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
