/**
 * Keeps an actor host as the assignment says: acquires and releases shards, again where that fails.
 *
 *   new assignment ──► moves ──► all at once ──► as assigned
 *                       ▲            │ some failed
 *                       └─ back-off ─┘ (or a newer assignment, whichever comes first)
 *
 *  O1 One round of moves at a time; each goes by the newest assignment.
 *  O2 A shard that cannot be acquired holds up no other, and is named until it is.
 */
import { movesFor, NO_ASSIGNMENT, type Assignment } from "../../actors/assignment/assignment.ts";
import { isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import type { ShardHost } from "../../actors/shard/host.ts";

export interface OwnershipDeps {
  /** Its name in the assignment. */
  readonly name: string;
  readonly host: Pick<ShardHost, "owned" | "acquire" | "release">;
  readonly limits: Pick<Limits, "reconnectMinMs" | "reconnectMaxMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Ownership {
  follow(assignment: Assignment): void;
  /** Shards that are assigned here and not served, with the reason. */
  readonly faults: readonly string[];
  /** Ends after the round under way. */
  stop(): Promise<void>;
}

export function createOwnership({ name, host, limits, clock, logger }: OwnershipDeps): Ownership {
  let assignment = NO_ASSIGNMENT;
  const failed = new Map<number, string>();
  let stopped = false;
  let running: Promise<void> | undefined;
  let wake: (() => void) | undefined;

  async function move(what: "acquire" | "release", shard: number, work: Promise<void>): Promise<boolean> {
    try {
      await work;
      failed.delete(shard);
      logger.info({ shard, version: assignment.version }, `${what}d`);
      return true;
    } catch (error) {
      failed.set(shard, messageOf(error));
      const code = isAdtallyError(error) ? error.code : undefined;
      logger.error({ shard, code, error: messageOf(error) }, `${what} failed; trying again`);
      return false;
    }
  }

  async function rounds(): Promise<void> {
    let pauseMs = limits.reconnectMinMs;
    while (!stopped) {
      const { acquire, release } = movesFor(name, host.owned(), assignment);
      const assigned = (shard: number) => assignment.shards.get(shard)?.host === name;
      for (const shard of failed.keys()) if (!assigned(shard)) failed.delete(shard);
      if (acquire.length === 0 && release.length === 0) return;
      const { version } = assignment;
      const done = await Promise.all([
        ...release.map((shard) => move("release", shard, host.release(shard))),
        ...acquire.map(({ shard, epoch }) => move("acquire", shard, host.acquire(shard, epoch))),
      ]);
      if (!done.includes(false)) pauseMs = limits.reconnectMinMs;
      else if (version === assignment.version) {
        await pause(pauseMs);
        pauseMs = Math.min(2 * pauseMs, limits.reconnectMaxMs);
      }
    }
  }

  function pause(ms: number): Promise<void> {
    if (stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = clock.after(ms, resolve);
      wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  return {
    follow(next) {
      assignment = next;
      wake?.();
      running ??= rounds().finally(() => (running = undefined));
    },
    get faults() {
      const { acquire } = movesFor(name, host.owned(), assignment);
      return acquire.map(({ shard }) => `shard ${shard}: ${failed.get(shard) ?? "being acquired"}`);
    },
    async stop() {
      stopped = true;
      wake?.();
      await running;
    },
  };
}
