/**
 * The loop over each ClickCluster: look, plan, act.
 *
 *            ┌────────────── changed, or roundMs over ──────────────┐
 *   idle ────▼───► look ──► plan ──► act, one by one ──► all done ──┤
 *    ▲                                 └ conflict: look again soon ─┤
 *    └ not the leader                  └ failed: back off ──────────┘
 *
 *  I1 A ClickCluster has one round at a time, and at most `roundsAtOnce` of all have one.
 *  I2 Who does not lead looks at nothing and writes nothing.
 *  I3 A round ends at the first action that is refused or fails: what comes after it was planned on
 *     its success. One that is refused again and again is passed over if nothing rests on it (F1 of conflicts.ts).
 *  I4 A ClickCluster that cannot be read, or planned for, holds up no other.
 */
import { isAdtallyError, messageOf } from "../actors/core/errors.ts";
import type { Clock, RandomBytes, Timer } from "../actors/runtime/clock.ts";
import type { Logger } from "../actors/runtime/log.ts";
import { act, type ActDeps } from "./act/act.ts";
import type { ClickCluster } from "./api/click-cluster.ts";
import { createConflicts, whatOf, type Conflicts } from "./conflicts.ts";
import { createBackoff, type Backoff } from "./kube/backoff.ts";
import type { Leadership } from "./lead/elector.ts";
import type { ClickClusterObject } from "./observe/caches.ts";
import type { DataPlane } from "./observe/data-plane.ts";
import { observe } from "./observe/observe.ts";
import type { Action } from "./plan/actions.ts";
import { plan } from "./plan/plan.ts";
import { UNKNOWN } from "./plan/world.ts";
import { render as renderCluster, type Rendered } from "./render/render.ts";
import type { Term } from "./state/config-map.ts";

export const OUTCOMES = ["converged", "acted", "conflict", "failed", "deposed"] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface ControllerDeps extends ActDeps {
  readonly dataPlane: DataPlane;
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: Logger;
  readonly roundMs: number;
  /** What is rendered of a ClickCluster; the operator's own where nothing is said. */
  readonly render?: (cluster: ClickCluster) => Rendered;
  onRound?(outcome: Outcome, tookMs: number): void;
  onAction?(action: Action): void;
}

export interface Controller {
  /** To be called when the leadership changed. */
  wakeAll(): void;
  readonly clusters: number;
  /** Resolves when no round is under way. */
  close(): Promise<void>;
}

interface Loop {
  readonly key: string;
  readonly backoff: Backoff;
  readonly conflicts: Conflicts;
  timer: Timer | undefined;
  /** Of the timer, by the monotonic clock. */
  dueAtMs: number;
  running: Promise<void> | undefined;
  isWoken: boolean;
}

const ROUNDS_AT_ONCE = 8;
/** Changes gather for so long. */
const GATHER_MS = 50;
/** Rounds with a conflict, in a row. */
const WARN_EVERY = 5;

export function startController(deps: ControllerDeps): Controller {
  const { caches, clock, leadership, logger, roundMs, random, onRound, onAction, dataPlane } = deps;
  const render = deps.render ?? renderCluster;
  const loops = new Map<string, Loop>();
  const queue: Loop[] = [];
  let running = 0;
  let isClosed = false;

  function wake(key: string): void {
    if (isClosed) return;
    const loop = loops.get(key);
    if (loop === undefined) {
      if (!caches.clusters.objects.has(key)) return;
      const backoff = createBackoff({ clock, random, minMs: 500, maxMs: 60_000 });
      const made: Loop = {
        key,
        backoff,
        conflicts: createConflicts(),
        timer: undefined,
        dueAtMs: 0,
        running: undefined,
        isWoken: false,
      };
      loops.set(key, made);
      return startIn(made, 0);
    }
    if (loop.running !== undefined) loop.isWoken = true;
    // A cluster whose rounds fail is not tried more often for being changed by others all the time.
    else if (loop.backoff.failures === 0) {
      // The first change says when: changes that never cease must not put it off for ever.
      const isSoonEnough = loop.timer !== undefined && loop.dueAtMs <= clock.monotonic() + GATHER_MS;
      if (!isSoonEnough) startIn(loop, GATHER_MS);
    }
  }

  function startIn(loop: Loop, delayMs: number): void {
    loop.timer?.cancel();
    loop.dueAtMs = clock.monotonic() + delayMs;
    loop.timer = clock.after(delayMs, () => {
      loop.timer = undefined;
      if (!queue.includes(loop)) queue.push(loop);
      startNext();
    });
  }

  /** I1 */
  function startNext(): void {
    while (running < ROUNDS_AT_ONCE && queue.length > 0 && !isClosed) {
      const loop = queue.shift()!;
      if (loop.running !== undefined) continue;
      running += 1;
      loop.isWoken = false;
      loop.running = runOnce(loop)
        .then((delayMs) => {
          loop.running = undefined;
          if (isClosed) return;
          if (delayMs !== undefined)
            return startIn(
              loop,
              loop.isWoken && loop.backoff.failures === 0 ? Math.min(delayMs, GATHER_MS) : delayMs,
            );
          loops.delete(loop.key);
          if (loop.isWoken) wake(loop.key);
        })
        .finally(() => {
          running -= 1;
          startNext();
        });
    }
  }

  /** Resolves with when the next round is due; undefined: the ClickCluster is gone. */
  async function runOnce(loop: Loop): Promise<number | undefined> {
    const { epoch } = leadership;
    const found = caches.clusters.objects.get(loop.key);
    if (found === undefined) {
      const [namespace = "", name = ""] = loop.key.split("/");
      if (caches.clusters.isCurrent) dataPlane.forget(namespace, name);
      return caches.clusters.isCurrent ? undefined : roundMs;
    }
    if (epoch === undefined) return roundMs;
    const term: Term = { epoch, assertHeld: () => leadership.assertHeld(epoch) };
    const beganAtMs = clock.monotonic();
    const outcome = await round(loop, found, term);
    onRound?.(outcome, clock.monotonic() - beganAtMs);
    if (outcome === "failed") return loop.backoff.nextMs();
    // No more often than where nothing is wrong; but what others need done is not put off any longer, either.
    if (outcome === "conflict" && loop.conflicts.doLast) return Math.min(loop.backoff.nextMs(), roundMs);
    loop.backoff.reset();
    return outcome === "conflict" ? GATHER_MS * 4 : roundMs;
  }

  async function round({ conflicts }: Loop, found: ClickClusterObject, term: Term): Promise<Outcome> {
    const cluster = found as ClickClusterObject & ClickCluster;
    const about = { namespace: cluster.metadata.namespace, cluster: cluster.metadata.name };
    try {
      const rendered = render(cluster);
      const { observed, texts } = await observe(deps, cluster, rendered);
      if (texts !== UNKNOWN) dataPlane.copy(cluster, texts);
      const actions = plan({ cluster, objects: rendered.digests }, observed, clock.now());
      conflicts.begin(actions);
      for (const action of actions) {
        try {
          await act({ ...deps, cluster, rendered, term }, action);
        } catch (error) {
          if (!isAdtallyError(error, "KUBERNETES_CONFLICT")) throw error;
          const mayGoOn = conflicts.refused(action);
          const what = { ...about, action: whatOf(action), error: messageOf(error) };
          if (conflicts.doLast && conflicts.rounds % WARN_EVERY === 0)
            logger.warn(
              { ...what, rounds: conflicts.rounds },
              "refused again and again: somebody else writes it",
            );
          else logger.debug(what, "something has changed meanwhile: looking again");
          if (mayGoOn) continue;
          break;
        }
        conflicts.done(action);
        onAction?.(action);
        const because = "because" in action ? action.because : undefined;
        logger.info({ ...about, action: action.kind, ...because }, "done");
      }
      if (conflicts.end()) return "conflict";
      return actions.length === 0 ? "converged" : "acted";
    } catch (error) {
      const what = { ...about, error: messageOf(error) };
      if (isAdtallyError(error, "NOT_LEADER")) {
        logger.warn(what, "not done: another leads");
        return "deposed";
      }
      const stack = isAdtallyError(error) || !(error instanceof Error) ? undefined : error.stack;
      logger.error({ ...what, ...(stack !== undefined && { stack }) }, "a round failed");
      return "failed";
    }
  }

  caches.onChange((namespace, name) => wake(`${namespace}/${name}`));
  for (const key of caches.clusters.objects.keys()) wake(key);

  return {
    wakeAll() {
      for (const key of new Set([...caches.clusters.objects.keys(), ...loops.keys()])) wake(key);
    },
    get clusters() {
      return loops.size;
    },
    async close() {
      isClosed = true;
      for (const { timer } of loops.values()) timer?.cancel();
      await Promise.all([...loops.values()].flatMap(({ running: round }) => round ?? []));
    },
  };
}
