/**
 * The catalogue of a cluster: each program looks ads up in its own replica, and writes to the log
 * `ads`, from which every replica is made. Gateways and placements open one.
 *
 * Invariants (beside the contract in ports/catalogue.ts)
 *  M1 `put` resolves when the record is on all replicas of the log and this program's own replica
 *     has applied it: it reads its own writes.
 *  M2 Who owns an ad is decided by the log's order. A writer that loses a race reads its own write
 *     back and is told CATALOGUE_CONFLICT; other ads of that same put may have been written, in
 *     this one case (a conflict that the replica knows of is found before anything is written).
 *  M3 An ad is absent from `load` only if the replica was at the log's end after the question: an
 *     ad that another gateway has put is never denied. With the log gone, an ad that is not known
 *     is CATALOGUE_UNAVAILABLE, and ads that are known are served.
 *  M4 A put that fails otherwise may yet be written: putting again is safe.
 */
import { AdtallyError, messageOf } from "../core/errors.ts";
import { idKeyOf, type IdKey } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import type { Ad, Catalogue } from "../ports/catalogue.ts";
import type { KeyedLog, KeyedRecord } from "../ports/keyed-log.ts";
import { startReplica, type Replica, type ReplicaDeps, type ReplicaStore } from "../replica/replica.ts";
import type { Clock, RandomBytes } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { claimRecord, decodeAd, updateRecord } from "./ad-records.ts";
import { ownershipConflict, settleAds } from "./ownership.ts";

/** Framing of a record in a batch, roughly. */
const RECORD_OVERHEAD_BYTES = 32;

/** Where a replica keeps its ads: the RocksDB catalogue. */
export interface CatalogueStore extends Omit<Catalogue, "put">, ReplicaStore<Ad> {
  /** As they are stored; what is in memory stays as it is. @throws CATALOGUE_UNAVAILABLE */
  stored(adIds: readonly IdKey[]): ReadonlyMap<IdKey, Ad>;
}

export interface ReplicatedCatalogueDeps {
  readonly log: KeyedLog;
  readonly store: CatalogueStore;
  readonly random: RandomBytes;
  readonly limits: ReplicaDeps<Ad>["limits"] & Pick<Limits, "blockMaxBytes" | "catalogueDeadlineMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ReplicatedCatalogue extends Catalogue {
  readonly replica: Replica;
}

/** Follows the log from now on; stop its replica before the store is closed. */
export function createReplicatedCatalogue(deps: ReplicatedCatalogueDeps): ReplicatedCatalogue {
  const { log, store, random, limits, clock, logger } = deps;
  const replica = startReplica({ name: "catalogue", log, store, decode: decodeAd, limits, clock, logger });

  const assertReady = () => {
    const { isReady, progress, end, fault } = replica.status();
    if (isReady && fault === undefined) return;
    if (isReady) throw unavailable(`this program's replica does not follow: ${fault}`);
    const why = fault ?? `it is at ${progress} of ${end ?? "an unknown number of"} records`;
    throw unavailable(`this program's replica has not caught up yet: ${why}`);
  };

  return {
    replica,
    peek: (adId) => store.peek(adId),

    async load(adIds) {
      const found = await store.load(adIds);
      if (found.size === adIds.length) return found;
      const missing = adIds.filter((adId) => !found.has(adId));
      try {
        await replica.confirmed(limits.catalogueDeadlineMs);
      } catch (error) {
        throw unavailable(`nobody can say whether ad ${missing[0]} exists (${messageOf(error)})`, error);
      }
      return new Map([...found, ...(await store.load(missing))]);
    },

    async put(ads) {
      if (ads.length === 0) return;
      assertReady();
      const existing = store.stored([...new Set(ads.map((ad) => idKeyOf(ad.adId)))]);
      const settled = settleAds(ads, (key) => existing.get(key));
      const records = [...settled].map(([key, ad]) =>
        existing.has(key) ? updateRecord(ad) : claimRecord(ad, random),
      );
      const before = store.progress();
      try {
        let end = before;
        for (const part of partsOf(records, limits.blockMaxBytes)) end = await log.append(part);
        if (end <= before) throw new AdtallyError("LOG_BEHIND_STATE", "the log is not the replica's own");
        await replica.applied(end, limits.catalogueDeadlineMs);
      } catch (error) {
        throw unavailable(`the ads may or may not be written, put them again (${messageOf(error)})`, error);
      }
      const written = store.stored([...settled.keys()]);
      for (const [key, ad] of settled) {
        if (!written.has(key)) throw unavailable(`ad ${ad.adId} was written, and cannot be read back`);
        const conflict = ownershipConflict(written.get(key), ad);
        if (conflict !== undefined) throw new AdtallyError("CATALOGUE_CONFLICT", conflict);
      }
    },
  };
}

/** What fits into one append each, in order. */
function* partsOf(records: readonly KeyedRecord[], maxBytes: number): Generator<readonly KeyedRecord[]> {
  let part: KeyedRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const more = record.key.length + record.value.length + RECORD_OVERHEAD_BYTES;
    if (part.length > 0 && bytes + more > maxBytes) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(record);
    bytes += more;
  }
  if (part.length > 0) yield part;
}

function unavailable(why: string, cause?: unknown): AdtallyError {
  return new AdtallyError("CATALOGUE_UNAVAILABLE", `catalogue: ${why}`, { cause });
}
