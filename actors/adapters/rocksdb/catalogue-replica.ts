/**
 * A replica of the catalogue on RocksDB: what a program keeps of the log `ads` from one life to the
 * next. The log can make it again, so it is never worth more than it says: opened by cmd/lib.
 *
 *  U1 One that is damaged (found at open, at a read or at a write), or was made from another log,
 *     is set aside beside its folder and begun anew, with a line in the log that names both and
 *     why. One such folder is kept: a person may want to look at it, or to have it back.
 *  U2 The driver throws what is damaged out of an asynchronous read where nobody can catch it: the
 *     process ends. It leaves a note beside the folder, by which the next one knows: it reads what
 *     is left synchronously, where damage fails one read alone, until U1 can be done.
 *  U3 While it is exchanged nothing is served: look-ups are CATALOGUE_UNAVAILABLE, and those under
 *     way end first.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { AdtallyError, isAdtallyError, messageOf } from "../../core/errors.ts";
import type { CatalogueStore } from "../../catalogue/replicated.ts";
import type { Logger } from "../../runtime/log.ts";
import { openRocksCatalogue, type CatalogueChanges, type RocksCatalogue } from "./catalogue.ts";

export interface RocksCatalogueReplica extends CatalogueStore, CatalogueChanges {
  close(): Promise<void>;
}

export interface RocksCatalogueReplicaOptions {
  readonly dir: string;
  readonly cacheAds: number;
  readonly logger: Logger;
}

export const SET_ASIDE_SUFFIX = ".set-aside";
const DAMAGE_SUFFIX = ".damage";

/** @throws DATA_DIR_IN_USE, CONFIG_INVALID */
export async function openRocksCatalogueReplica(
  options: RocksCatalogueReplicaOptions,
): Promise<RocksCatalogueReplica> {
  const { dir, cacheAds, logger } = options;
  const notePath = dir + DAMAGE_SUFFIX;
  let damage = existsSync(notePath) ? `${readFileSync(notePath, "utf8")} (of an earlier process)` : undefined;
  const open = () => openRocksCatalogue({ dir, cacheAds, isReplica: true, isDamaged: damage !== undefined });

  /** U2 */
  function noteUncaught(error: Error & { readonly code?: string }): void {
    if (error.code !== "LEVEL_CORRUPTION" || !error.message.includes(`${dir}/`)) return;
    writeFileSync(notePath, `${dir} is damaged: ${error.message}`);
  }

  async function setAside(why: string): Promise<void> {
    const to = dir + SET_ASIDE_SUFFIX;
    await rm(to, { recursive: true, force: true });
    await rename(dir, to).catch((error: unknown) => {
      // An attempt before this one got as far.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    });
    await rm(notePath, { force: true });
    damage = undefined;
    logger.error({ copy: dir, setAsideAs: to, why }, "the copy of the catalogue is discarded: read anew");
  }

  async function openOrBegin(): Promise<RocksCatalogue> {
    try {
      return await open();
    } catch (error) {
      if (!isAdtallyError(error, "STORE_CORRUPT")) throw error;
      await setAside(messageOf(error));
      return open();
    }
  }

  let inner: RocksCatalogue | undefined = await openOrBegin();
  process.on("uncaughtExceptionMonitor", noteUncaught);
  let loads = 0;
  let whenIdle: (() => void) | undefined;

  const now = (): RocksCatalogue => {
    if (inner !== undefined) return inner;
    throw new AdtallyError("CATALOGUE_UNAVAILABLE", "catalogue: this program's copy is being made anew");
  };
  const noted = (error: unknown): unknown => {
    const cause = error instanceof Error ? error.cause : undefined;
    for (const each of [error, cause]) if (isAdtallyError(each, "STORE_CORRUPT")) damage ??= each.message;
    return error;
  };
  const noting = <T>(run: () => T): T => {
    try {
      return run();
    } catch (error) {
      throw noted(error);
    }
  };

  return {
    get identity() {
      return now().identity;
    },
    peek: (adId) => inner?.peek(adId),
    async load(adIds) {
      loads += 1;
      try {
        return await now().load(adIds);
      } catch (error) {
        throw noted(error);
      } finally {
        loads -= 1;
        if (loads === 0) whenIdle?.();
      }
    },
    stored: (adIds) => noting(() => now().stored(adIds)),
    progress: () => inner?.progress() ?? 0,
    origin: () => inner?.origin(),
    apply: (ads, progress, origin) => noting(() => now().apply(ads, progress, origin)),
    isWhole: () => inner?.isWhole() ?? false,
    markWhole: () => noting(() => now().markWhole()),
    damage: () => damage,
    async discard(why) {
      const before = inner;
      inner = undefined;
      // Until it is done: an exchange that fails half way is begun again.
      damage ??= why;
      if (loads > 0) await new Promise<void>((resolve) => (whenIdle = resolve));
      whenIdle = undefined;
      await before?.close().catch((error: unknown) => {
        logger.warn({ copy: dir, error: messageOf(error) }, "a discarded copy could not be closed in order");
      });
      await setAside(why);
      inner = await open();
    },
    lastSequence: () => now().lastSequence(),
    changesSince: (sequence, limit) => noting(() => now().changesSince(sequence, limit)),
    async close() {
      process.off("uncaughtExceptionMonitor", noteUncaught);
      await inner?.close();
    },
  };
}
