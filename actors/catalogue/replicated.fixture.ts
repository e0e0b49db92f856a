/** Gateways' replicas on one log, in folders of their own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  openRocksCatalogueReplica,
  type RocksCatalogueReplica,
} from "../adapters/rocksdb/catalogue-replica.ts";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.ts";
import type { KeyedLog } from "../ports/keyed-log.ts";
import { systemClock, systemRandom } from "../runtime/clock.ts";
import { silentLogger, type Logger } from "../runtime/log.ts";
import { createReplicatedCatalogue, type ReplicatedCatalogue } from "./replicated.ts";

export interface TestReplica {
  readonly catalogue: ReplicatedCatalogue;
  readonly store: RocksCatalogueReplica;
  readonly dir: string;
  /** The same folder in a new process. */
  reopen(): Promise<TestReplica>;
  stop(): Promise<void>;
  /** Also removes the folder. */
  close(): Promise<void>;
}

export interface TestReplicaOptions {
  readonly log: KeyedLog;
  readonly cacheAds?: number;
  readonly limits?: Partial<Limits>;
  readonly dir?: string;
  readonly logger?: Logger;
}

/** Does not wait for it to catch up. */
export async function openTestReplica(options: TestReplicaOptions): Promise<TestReplica> {
  const { log, cacheAds = 100 } = options;
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), "adtally-replica-")));
  const logger = options.logger ?? silentLogger;
  const store = await openRocksCatalogueReplica({ dir: join(dir, "catalogue"), cacheAds, logger });
  const catalogue = createReplicatedCatalogue({
    log,
    store,
    random: systemRandom,
    limits: { ...DEFAULT_LIMITS, replicaFollowIntervalMs: 20, catalogueDeadlineMs: 2_000, ...options.limits },
    clock: systemClock,
    logger,
  });
  const stop = async () => {
    await catalogue.replica.stop();
    await store.close();
  };
  return {
    catalogue,
    store,
    dir,
    stop,
    async reopen() {
      await stop();
      return openTestReplica({ ...options, dir });
    },
    async close() {
      await stop();
      await rm(dir, { recursive: true });
    },
  };
}

export async function openReadyReplica(options: TestReplicaOptions): Promise<TestReplica> {
  const replica = await openTestReplica(options);
  await replica.catalogue.replica.ready();
  return replica;
}
