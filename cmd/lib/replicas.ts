/** What a program holds whole, each from its compacted topic: the catalogue, the API keys. */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { KafkaLog } from "../../actors/adapters/kafka/kafka-log.ts";
import {
  openRocksCatalogueReplica,
  type RocksCatalogueReplica,
} from "../../actors/adapters/rocksdb/catalogue-replica.ts";
import { createReplicatedCatalogue } from "../../actors/catalogue/replicated.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import { idKeyOf } from "../../actors/core/ids.ts";
import { openFileAudit, type FileAudit } from "../../actors/adapters/audit/file-audit.ts";
import { createKeyLimits } from "../../actors/adapters/rate-limit/key-limits.ts";
import { createAuthenticator, type Authenticator } from "../../actors/keys/authenticate.ts";
import type { KeyLimits } from "../../actors/keys/key-limits.ts";
import { startKeyUses } from "../../actors/keys/key-uses.ts";
import { createReplicatedKeys } from "../../actors/keys/replicated.ts";
import type { KeyStore } from "../../actors/ports/key-store.ts";
import type { Ad, Catalogue } from "../../actors/ports/catalogue.ts";
import type { LocalCopy } from "../../actors/replica/local-copy.ts";
import type { Replica } from "../../actors/replica/replica.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import { openLocalCopy } from "./local-copy.ts";
import type { Program } from "./program.ts";

export interface OpenCatalogue {
  readonly catalogue: Catalogue;
  readonly store: RocksCatalogueReplica;
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
  const store = await openRocksCatalogueReplica({ dir, cacheAds: limits.catalogueCacheAds, logger });
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

/**
 * Where the log has been asked in vain, a copy that was whole once will do.
 * @throws CATALOGUE_UNAVAILABLE until then, with how far it is
 */
export async function assertServing(replica: Replica): Promise<void> {
  const { end, fault, isReady, isWhole, progress } = replica.status();
  if (isReady || (isWhole && fault !== undefined)) return;
  const why = fault ?? `${progress} of ${end ?? "an unknown number of"} records are read`;
  const copy = isWhole ? "" : "there is no copy of it in the data directory that could do instead: ";
  throw new AdtallyError("CATALOGUE_UNAVAILABLE", copy + why);
}

/** For who must not begin with an older state. @throws CATALOGUE_UNAVAILABLE until it has caught up */
export async function assertFollowing(replica: Replica): Promise<void> {
  const { end, fault, isReady, progress } = replica.status();
  if (isReady) return;
  const why = fault ?? `${progress} of ${end ?? "an unknown number of"} records are read`;
  throw new AdtallyError("CATALOGUE_UNAVAILABLE", why);
}

/** For readiness, once the program is ready: a copy that had to be discarded is being made again. */
export function observeReplica(program: Program<unknown>, what: string, replica: Replica): void {
  program.life.check(() => {
    const { fault, isReady, isWhole, progress } = replica.status();
    return isReady || isWhole ? [] : [`${what}: ${fault ?? `read anew, ${progress} records so far`}`];
  });
}

/** What a program keeps of a document that others publish. @throws CONFIG_INVALID */
export async function openCopy(dataDir: string, name: string, logger: Logger): Promise<LocalCopy> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  return openLocalCopy(path.join(dataDir, `${name}.copy.json`), logger);
}

export interface OpenKeys {
  readonly store: KeyStore;
  readonly replica: Replica;
  readonly authenticator: Authenticator;
  readonly keyLimits: KeyLimits;
  readonly audit: FileAudit;
}

/**
 * Follows its topic from now on; `adminKey` is valid beside the keys that are there. With a folder
 * it keeps a copy there. @throws CONFIG_INVALID where that cannot be read
 */
export async function openKeys(
  {
    clock,
    config,
    life,
    limits,
    logger,
  }: Program<{ readonly adminKey: string | undefined; readonly dataDir: string | undefined }>,
  log: KafkaLog,
): Promise<OpenKeys> {
  const { adminKey, dataDir } = config;
  const copy = dataDir === undefined ? undefined : await openCopy(dataDir, "api-keys", logger);
  const onRemoved = (keyId: string): void => authenticator.forget(keyId);
  const store = createReplicatedKeys({
    log: log.keyed("keys"),
    ...(copy && { copy }),
    onRemoved,
    limits,
    clock,
    logger,
  });
  const given = adminKey === undefined ? [] : [{ name: "admin", key: adminKey, scopes: ["admin"] as const }];
  life.onStop("the API keys", () => store.replica.stop());
  const uses = startKeyUses({ store, limits, clock, logger });
  life.onStop("when keys were last used", () => uses.stop());
  const authenticator = createAuthenticator({
    store,
    givenKeys: given,
    clock,
    used: (keyId, nowMs) => uses.used(keyId, nowMs),
  });
  const audit = await openFileAudit({
    dir: dataDir === undefined ? undefined : path.join(dataDir, "audit"),
    limits,
    clock,
    logger,
  });
  life.onStop("the audit log", () => audit.flush());
  return { store, replica: store.replica, authenticator, keyLimits: createKeyLimits(limits), audit };
}
