/**
 * Catalogue: which ads exist, whose they are, and where their clicks go.
 *
 * Contract (catalogue.conformance.ts):
 *  C1 What `put` resolved is found by every later `load`, across restarts.
 *  C2 An ad never changes its campaign or advertiser: CATALOGUE_CONFLICT, nothing written.
 *  C3 `peek` never does I/O; undefined means "not in memory", not "does not exist".
 *  C4 `load` puts what it finds into memory, within the cache's bound.
 */
import type { IdKey } from "../core/ids.ts";

export interface Ad {
  readonly adId: bigint;
  readonly campaignId: bigint;
  readonly advertiserId: bigint;
  /** Absolute http or https URL, already normalised: what a click is redirected to. */
  readonly destinationUrl: string;
  readonly title: string;
}

export interface Catalogue {
  /** From memory alone. */
  peek(adId: IdKey): Ad | undefined;
  /** From memory or storage; ids that do not exist are absent. @throws CATALOGUE_UNAVAILABLE */
  load(adIds: readonly IdKey[]): Promise<ReadonlyMap<IdKey, Ad>>;
  /** Inserts or updates all, or none. @throws CATALOGUE_CONFLICT, CATALOGUE_UNAVAILABLE */
  put(ads: readonly Ad[]): Promise<void>;
}
