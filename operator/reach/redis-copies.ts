/**
 * The fast copy of each ClickCluster's routing table and assignment, in its Redis: what programs hear of
 * a change by. The truth is the ConfigMap; a copy is only ever brought up to it.
 *
 *   offered ──► read ──equal──► stands ──(looked at again every 30 s)──► read
 *                 ├─ older, or none ──replaced upon what was read──► stands
 *                 └─ newer ──► left alone, and told of
 *
 *  Y1 A copy is never put back to an older one, by a leader that was held up above all: of two texts
 *     the one with the higher version stays.
 *  Y2 Nothing waits for Redis. While it is gone, each offer tries again, one at a time.
 */
import { createRedisConnection, type RedisConnection } from "../../actors/adapters/redis/connection.ts";
import { createRedisSharedState, type RedisSharedState } from "../../actors/adapters/redis/shared-state.ts";
import type { RedisConfig } from "../../actors/adapters/redis/config.ts";
import { decodeAssignment } from "../../actors/assignment/assignment.ts";
import { isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { Limits } from "../../actors/core/limits.ts";
import { decodeTable } from "../../actors/routing/table-json.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import type { ClickCluster } from "../api/click-cluster.ts";
import { digestOf } from "../api/digest.ts";
import type { SharedTexts } from "../observe/data-plane.ts";

export interface RedisCopies {
  offer(cluster: ClickCluster, texts: SharedTexts): void;
  /** @throws where it could not be asked */
  isReachable(cluster: ClickCluster): Promise<boolean>;
  forget(namespace: string, name: string): void;
  close(): Promise<void>;
}

export interface RedisCopiesDeps {
  /** Where a ClickCluster's Redis is, and what it needs: from its spec and its Secrets. */
  readonly placeOf: (cluster: ClickCluster) => Promise<RedisConfig>;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly logger: Logger;
  onCopy?(outcome: "written" | "failed" | "newer"): void;
}

interface Document {
  readonly state: RedisSharedState;
  readonly versionOf: (text: string) => number;
  stands: string | undefined;
  lookedAtMs: number;
}

interface Copy {
  readonly digest: string;
  readonly redis: RedisConnection;
  readonly routing: Document;
  readonly assignment: Document;
}

interface Entry {
  opened: Copy | undefined;
  opening: Promise<Copy> | undefined;
  checkedAtMs: number;
  wanted: SharedTexts | undefined;
  bringing: Promise<void> | undefined;
}

/** Secrets are looked at this often: passwords rotate. */
const PLACE_MS = 60_000;
const LOOK_MS = 30_000;

export function createRedisCopies(deps: RedisCopiesDeps): RedisCopies {
  const { clock, limits, logger, placeOf, onCopy } = deps;
  const entries = new Map<string, Entry>();

  const entryOf = ({ metadata: { namespace, name } }: ClickCluster): Entry => {
    const key = `${namespace}/${name}`;
    const known = entries.get(key);
    if (known !== undefined) return known;
    const made: Entry = {
      opened: undefined,
      opening: undefined,
      checkedAtMs: -Infinity,
      wanted: undefined,
      bringing: undefined,
    };
    entries.set(key, made);
    return made;
  };

  async function closeCopy(copy: Copy | undefined): Promise<void> {
    copy?.routing.state.close();
    copy?.assignment.state.close();
    await copy?.redis.close().catch(() => undefined);
  }

  function open(place: RedisConfig): Copy {
    const redis = createRedisConnection({ config: place, limits, clock, logger });
    const document = (key: string, versionOf: Document["versionOf"]): Document => ({
      state: createRedisSharedState({ redis, key, limits, clock, logger }),
      versionOf,
      stands: undefined,
      lookedAtMs: -Infinity,
    });
    return {
      digest: digestOf(place),
      redis,
      routing: document(
        "routing",
        (text) => decodeTable(text, 0, limits).newestFirst[0]?.inForceFromMs ?? -1,
      ),
      assignment: document("assignment", (text) => decodeAssignment(text).version),
    };
  }

  function copyOf(cluster: ClickCluster, entry: Entry): Promise<Copy> {
    if (entry.opened !== undefined && clock.monotonic() - entry.checkedAtMs < PLACE_MS)
      return Promise.resolve(entry.opened);
    entry.opening ??= (async () => {
      const place = await placeOf(cluster);
      entry.checkedAtMs = clock.monotonic();
      if (entry.opened?.digest === digestOf(place)) return entry.opened;
      const former = entry.opened;
      entry.opened = open(place);
      void closeCopy(former);
      return entry.opened;
    })().finally(() => (entry.opening = undefined));
    return entry.opening;
  }

  async function bring(document: Document, text: string | undefined): Promise<void> {
    if (text === undefined) return;
    const isRecent = clock.monotonic() - document.lookedAtMs < LOOK_MS;
    if (document.stands === text && isRecent) return;
    document.stands = undefined;
    const found = await document.state.read();
    if (found !== text) {
      if (found !== undefined && versionIn(document, found) > document.versionOf(text)) {
        onCopy?.("newer");
        logger.warn({}, "Redis has a newer document than the ConfigMap: it is left alone");
        return;
      }
      if (!(await document.state.replace(found, text))) return;
      onCopy?.("written");
    }
    document.stands = text;
    document.lookedAtMs = clock.monotonic();
  }

  /** Y1. What cannot be read is older than anything. */
  function versionIn({ versionOf }: Document, text: string): number {
    try {
      return versionOf(text);
    } catch (error) {
      if (isAdtallyError(error, "INPUT_INVALID")) return -1;
      throw error;
    }
  }

  async function bringBoth(cluster: ClickCluster, entry: Entry): Promise<void> {
    const copy = await copyOf(cluster, entry);
    const wanted = entry.wanted;
    if (wanted === undefined) return;
    await bring(copy.routing, wanted.routing);
    await bring(copy.assignment, wanted.assignment);
  }

  return {
    offer(cluster, texts) {
      const entry = entryOf(cluster);
      entry.wanted = texts;
      entry.bringing ??= bringBoth(cluster, entry)
        .catch((error: unknown) => {
          onCopy?.("failed");
          logger.debug({ error: messageOf(error) }, "the fast copy could not be written: again soon");
        })
        .finally(() => (entry.bringing = undefined));
    },

    async isReachable(cluster) {
      const { redis } = await copyOf(cluster, entryOf(cluster));
      return redis
        .run("PING", (client) => client.ping())
        .then(
          () => true,
          () => false,
        );
    },

    forget(namespace, name) {
      const entry = entries.get(`${namespace}/${name}`);
      entries.delete(`${namespace}/${name}`);
      void closeCopy(entry?.opened);
    },

    async close() {
      const all = [...entries.values()];
      entries.clear();
      await Promise.all(all.map((entry) => closeCopy(entry.opened)));
    },
  };
}
