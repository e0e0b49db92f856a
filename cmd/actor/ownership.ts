/**
 * Keeps an actor host as the newest assignment says, each shard for itself:
 *
 *   not held ──given to us──► acquire ──► held ──given to another──► hand over ──► release
 *                  ▲             │ failed        ──given to nobody──────────────────► release
 *                  └─ back-off ──┘ (or a newer assignment, whichever comes first)
 *
 *  O1 One move of a shard at a time; each goes by the newest assignment. An older one than that,
 *     or than the claim by which a shard is held, asks for nothing (moveOf).
 *  O2 A shard that cannot be acquired holds up no other, and is named until it is.
 *  O3 A shard that is given to another is served until that one serves (succession.ts); one that
 *     is given back meanwhile was never away.
 */
import { moveOf, NO_ASSIGNMENT, type Assignment, type Move } from "../../actors/assignment/assignment.ts";
import { isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import type { ShardHost } from "../../actors/shard/host.ts";

export interface OwnershipDeps {
  /** Its name in the assignment. */
  readonly name: string;
  readonly host: Pick<ShardHost, "owned" | "acquire" | "handOver" | "release">;
  readonly limits: Pick<Limits, "reconnectMinMs" | "reconnectMaxMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Ownership {
  follow(assignment: Assignment): void;
  /** Of the newest assignment that it was given; 0 before the first. */
  readonly version: number;
  /** Shards that are assigned here and not served, with the reason. */
  readonly faults: readonly string[];
  /** Ends after the moves under way. */
  stop(): Promise<void>;
}

/** The moves of one shard, while it has some. */
interface Moving {
  readonly done: Promise<void>;
  /** Ends a wait: there is a newer assignment, or no more of them. */
  wake(): void;
}

export function createOwnership({ name, host, limits, clock, logger }: OwnershipDeps): Ownership {
  let assignment = NO_ASSIGNMENT;
  const failed = new Map<number, string>();
  const moving = new Map<number, Moving>();
  let stopped = false;

  const nextMove = (shard: number): Move | undefined =>
    moveOf(name, shard, host.owned().get(shard), assignment);

  async function attempt(what: Move["kind"], shard: number, work: Promise<void>): Promise<boolean> {
    try {
      await work;
      if (what !== "hand-over") logger.info({ shard, version: assignment.version }, `${what}d`);
      return true;
    } catch (error) {
      failed.set(shard, messageOf(error));
      const code = isAdtallyError(error) ? error.code : undefined;
      logger.error({ shard, code, error: messageOf(error) }, `${what} failed; trying again`);
      return false;
    }
  }

  /** Makes this shard's moves until there are none. `onWait` is told how to end the wait under way. */
  async function settle(shard: number, onWait: (wake: () => void) => void): Promise<void> {
    let pauseMs = limits.reconnectMinMs;
    for (let move = nextMove(shard); move !== undefined && !stopped; move = nextMove(shard)) {
      const { version } = assignment;
      let isDone: boolean;
      if (move.kind === "acquire") isDone = await attempt("acquire", shard, host.acquire(shard, move.epoch));
      else {
        const withdrawal = new AbortController();
        onWait(() => {
          if (stopped || nextMove(shard)?.kind !== "hand-over") withdrawal.abort();
        });
        isDone =
          move.kind === "release" ||
          (await attempt("hand-over", shard, host.handOver(shard, withdrawal.signal)));
        if (withdrawal.signal.aborted) continue;
        isDone &&= await attempt("release", shard, host.release(shard));
      }
      if (isDone) {
        failed.delete(shard);
        pauseMs = limits.reconnectMinMs;
      } else if (version === assignment.version && !stopped) {
        await pause(pauseMs, onWait);
        pauseMs = Math.min(2 * pauseMs, limits.reconnectMaxMs);
      }
    }
    failed.delete(shard);
    moving.delete(shard);
  }

  function pause(ms: number, onWait: (wake: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.after(ms, resolve);
      onWait(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  function start(shard: number): void {
    let wake = (): void => undefined;
    const done = settle(shard, (onWake) => (wake = onWake));
    moving.set(shard, { done, wake: () => wake() });
  }

  return {
    follow(next) {
      if (next.version <= assignment.version) return;
      assignment = next;
      for (const { wake } of moving.values()) wake();
      for (const shard of new Set([...host.owned().keys(), ...next.shards.keys()])) {
        if (!stopped && !moving.has(shard) && nextMove(shard) !== undefined) start(shard);
      }
    },
    get version() {
      return assignment.version;
    },
    get faults() {
      const missing = [...assignment.shards].filter(
        ([shard, owner]) => owner.host === name && !host.owned().has(shard),
      );
      return missing.map(([shard]) => `shard ${shard}: ${failed.get(shard) ?? "being acquired"}`);
    },
    async stop() {
      stopped = true;
      for (const { wake } of moving.values()) wake();
      await Promise.all([...moving.values()].map(({ done }) => done));
    },
  };
}
