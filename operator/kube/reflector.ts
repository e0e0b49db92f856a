/**
 * What the API server has of one kind, kept current: listed, then watched from there on. A watch is
 * ended by the server after `watchSeconds`, with a bookmark before; each of its lines is a sign of life.
 *
 *  R1 Between a list and the next every change is applied once, in its order; an object is never
 *     replaced by an older version of itself.
 *  R2 A watch that says nothing for longer than its own end allows is silent: it is broken off, counted,
 *     and all is listed anew. Nothing else would find out: the connection may stay open for ever.
 *  R3 All is listed anew every `relistMs`, whatever the watch said: what it lost is found then.
 *  R4 A copy that nothing was heard of for longer than a silent watch takes to be found out is not
 *     current, nor is there one before the first list: whoever asks is told so (`isCurrent`).
 *  R5 What a write of our own answered is taken in at once (`put`), so that the next plan does not
 *     rest on what was before it.
 */
import { isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { Clock, RandomBytes, Timer } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import { createBackoff } from "./backoff.ts";
import type { KubeClient } from "./client.ts";
import { keyOf, versionOf, type KubeList, type KubeObject } from "./object.ts";
import { pathOf, type Kind } from "./resources.ts";

export type Restart = "silent" | "error" | "expired";

export interface ReflectorDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: Logger;
  readonly watchSeconds: number;
  readonly relistMs: number;
  /** Of a watch that did not end as agreed. */
  readonly onRestart?: (kind: Kind, why: Restart) => void;
}

export interface ReflectorOptions {
  readonly kind: Kind;
  /** All of them where none is named. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface Reflector<T extends KubeObject> {
  readonly kind: Kind;
  /** Whether all that it holds was so a moment ago: listed, and heard of since. */
  readonly isCurrent: boolean;
  /** By namespace and name. */
  readonly objects: ReadonlyMap<string, T>;
  put(object: T): void;
  /** `before`: undefined where it has come or gone. */
  onChange(run: (object: T, before: T | undefined) => void): void;
  close(): Promise<void>;
}

const PAGE = 500;
/** How much later than agreed the end of a watch may come. */
const GRACE_MS = 5_000;
const SHORT_MS = 500;

interface WatchLine<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: T;
}

export function startReflector<T extends KubeObject>(
  deps: ReflectorDeps,
  options: ReflectorOptions,
): Reflector<T> {
  const { client, clock, logger, watchSeconds, relistMs, onRestart } = deps;
  const { kind, namespace, labelSelector, fieldSelector } = options;
  const path = pathOf(kind, namespace);
  const backoff = createBackoff(deps);
  const changes = new Set<(object: T, before: T | undefined) => void>();
  const ending = new AbortController();
  let objects = new Map<string, T>();
  /** Versions of those that are gone, between two lists: R1 holds for them, too. */
  let gone = new Map<string, number>();
  const silentAfterMs = watchSeconds * 1_000 + GRACE_MS;
  let heardAtMs: number | undefined;
  let listedAtMs = 0;
  let listedVersion = 0;
  let version: string | undefined;

  const tell = (object: T, before?: T): void => {
    for (const run of changes) {
      try {
        run(object, before);
      } catch (error) {
        logger.error({ kind: kind.kind, error: messageOf(error) }, "a watcher of objects threw");
      }
    }
  };

  function put(object: T): void {
    const key = keyOf(object);
    const known = objects.get(key);
    // One that the list has no more is not brought back by an answer that was on its way (R5).
    const newest = known === undefined ? Math.max(listedVersion, gone.get(key) ?? 0) : versionOf(known);
    if (versionOf(object) <= newest) return;
    objects.set(key, object);
    tell(object, known);
  }

  function remove(object: T): void {
    const key = keyOf(object);
    const known = objects.get(key);
    if (known !== undefined && versionOf(known) > versionOf(object)) return;
    gone.set(key, versionOf(object));
    if (objects.delete(key)) tell(object);
  }

  async function list(): Promise<void> {
    const found: T[] = [];
    let next: string | undefined;
    do {
      const page: KubeList<T> = await client.send("GET", path, {
        query: { labelSelector, fieldSelector, limit: PAGE, continue: next },
      });
      found.push(...page.items);
      next = page.metadata.continue === "" ? undefined : page.metadata.continue;
      version = page.metadata.resourceVersion;
    } while (next !== undefined);
    const before = objects;
    objects = new Map(found.map((object) => [keyOf(object), object]));
    // Written by us while the list was on its way (R5).
    for (const [key, object] of before) {
      if (versionOf(object) > Number(version) && versionOf(object) > versionOf(objects.get(key) ?? EMPTY))
        objects.set(key, object);
    }
    gone = new Map();
    listedVersion = Number(version ?? 0);
    heardAtMs = listedAtMs = clock.monotonic();
    for (const [key, object] of objects) {
      const known = before.get(key);
      if (known === undefined || versionOf(known) !== versionOf(object)) tell(object, known);
    }
    for (const [key, object] of before) if (!objects.has(key)) tell(object);
  }

  function take(line: string): void {
    const { type, object } = JSON.parse(line) as WatchLine<T>;
    if (type === "ERROR") {
      version = undefined;
      return;
    }
    if (type === "ADDED" || type === "MODIFIED") put(object);
    else if (type === "DELETED") remove(object);
    version = object.metadata.resourceVersion ?? version;
  }

  /** Resolves with why it ended otherwise than agreed. */
  async function watch(): Promise<Restart | undefined> {
    const breaking = new AbortController();
    const onEnd = () => breaking.abort();
    ending.signal.addEventListener("abort", onEnd, { once: true });
    let isSilent = false;
    const waitForMore = (): Timer =>
      clock.after(silentAfterMs, () => {
        isSilent = true;
        breaking.abort();
      });
    let silence = waitForMore();
    try {
      await client.stream(
        path,
        {
          watch: true,
          allowWatchBookmarks: true,
          timeoutSeconds: watchSeconds,
          resourceVersion: version,
          labelSelector,
          fieldSelector,
        },
        breaking.signal,
        (line) => {
          heardAtMs = clock.monotonic();
          silence.cancel();
          silence = waitForMore();
          take(line);
        },
      );
      if (isSilent) return "silent";
      if (version === undefined) return "expired";
      if (!ending.signal.aborted) heardAtMs = clock.monotonic();
      return undefined;
    } finally {
      silence.cancel();
      ending.signal.removeEventListener("abort", onEnd);
    }
  }

  async function run(): Promise<void> {
    while (!ending.signal.aborted) {
      try {
        if (version === undefined || clock.monotonic() - listedAtMs >= relistMs) await list();
        const beganAtMs = clock.monotonic();
        const why = await watch();
        // A server that ends each watch as soon as it begins is not asked as fast as it answers.
        if (clock.monotonic() - beganAtMs < SHORT_MS) await backoff.pause(ending.signal);
        else backoff.reset();
        if (why === undefined || ending.signal.aborted) continue;
        version = undefined;
        onRestart?.(kind, why);
        logger.warn({ kind: kind.kind, why }, "a watch did not end as agreed: all is listed anew");
      } catch (error) {
        if (ending.signal.aborted) return;
        const isExpired = isAdtallyError(error, "OFFSET_OUT_OF_RANGE");
        version = undefined;
        onRestart?.(kind, isExpired ? "expired" : "error");
        logger.warn({ kind: kind.kind, error: messageOf(error) }, "objects could not be read: again soon");
        if (!isExpired) await backoff.pause(ending.signal);
      }
    }
  }
  const running = run();

  return {
    kind,
    get isCurrent() {
      return heardAtMs !== undefined && clock.monotonic() - heardAtMs <= silentAfterMs + GRACE_MS;
    },
    get objects() {
      return objects;
    },
    put,
    onChange: (call) => void changes.add(call),
    async close() {
      ending.abort();
      await running;
    },
  };
}

const EMPTY: KubeObject = { metadata: { name: "" } };
