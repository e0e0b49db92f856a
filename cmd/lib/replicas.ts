/** What a program holds whole, each from its compacted topic: the catalogue, the API keys. */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { KafkaLog } from "../../actors/adapters/kafka/kafka-log.ts";
import { openRocksCatalogue, type RocksCatalogue } from "../../actors/adapters/rocksdb/catalogue.ts";
import { createReplicatedCatalogue } from "../../actors/catalogue/replicated.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import { idKeyOf } from "../../actors/core/ids.ts";
import { createAuthenticator, type Authenticator } from "../../actors/keys/authenticate.ts";
import { createReplicatedKeys } from "../../actors/keys/replicated.ts";
import type { KeyStore } from "../../actors/ports/key-store.ts";
import type { Ad, Catalogue } from "../../actors/ports/catalogue.ts";
import type { Replica } from "../../actors/replica/replica.ts";
import type { Program } from "./program.ts";

export interface OpenCatalogue {
  readonly catalogue: Catalogue;
  readonly store: RocksCatalogue;
  readonly replica: Replica;
  ownerOf(adId: bigint): Promise<Ad | undefined>;
}

/** Follows its topic from now on, there or not. @throws DATA_DIR_IN_USE, STORE_CORRUPT */
export async function openCatalogue(
  program: Program<unknown>,
  log: KafkaLog,
  dataDir: string,
): Promise<OpenCatalogue> {
  const { clock, life, limits, logger, random } = program;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const dir = path.join(dataDir, "catalogue");
  const store = await openRocksCatalogue({ dir, cacheAds: limits.catalogueCacheAds, isReplica: true });
  life.onStop("the catalogue", () => store.close());
  const catalogue = createReplicatedCatalogue({
    log: log.keyed("ads"),
    store,
    random,
    limits,
    clock,
    logger,
  });
  life.onStop("the catalogue's replica", () => catalogue.replica.stop());
  return {
    catalogue,
    store,
    replica: catalogue.replica,
    async ownerOf(adId) {
      const key = idKeyOf(adId);
      return catalogue.peek(key) ?? (await catalogue.load([key])).get(key);
    },
  };
}

/** @throws CATALOGUE_UNAVAILABLE until it has caught up, with how far it is */
export async function assertReady(replica: Replica): Promise<void> {
  const { end, fault, isReady, progress } = replica.status();
  if (isReady) return;
  const why = fault ?? `${progress} of ${end ?? "an unknown number of"} records are read`;
  throw new AdtallyError("CATALOGUE_UNAVAILABLE", why);
}

export interface OpenKeys {
  readonly store: KeyStore;
  readonly replica: Replica;
  readonly authenticator: Authenticator;
}

/** Follows its topic from now on; `adminKey` is valid beside the keys that are there. */
export function openKeys(
  { clock, config, life, limits, logger }: Program<{ readonly adminKey: string | undefined }>,
  log: KafkaLog,
): OpenKeys {
  const { adminKey } = config;
  const onRemoved = (keyId: string): void => authenticator.forget(keyId);
  const store = createReplicatedKeys({ log: log.keyed("keys"), onRemoved, limits, clock, logger });
  const given = adminKey === undefined ? [] : [{ name: "admin", key: adminKey, scopes: ["admin"] as const }];
  const authenticator = createAuthenticator(store, given);
  life.onStop("the API keys", () => store.replica.stop());
  return { store, replica: store.replica, authenticator };
}
