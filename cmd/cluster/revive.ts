/**
 * Starts again what has ended by itself, or was killed by hand: soon the first time, then after a
 * pause that doubles until a life has lasted.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Member } from "./member.ts";

const PAUSE_FIRST_MS = 500;
const PAUSE_LAST_MS = 15_000;
const STABLE_MS = 30_000;

export interface Reviver {
  /** Starts what is not running; to be called now and then. */
  look(): void;
  /** Starts nothing from now on. */
  stop(): void;
}

export function createReviver(
  members: readonly Pick<Member, "isRunning" | "start" | "startedAtMs">[],
): Reviver {
  const pauses = new Map<object, number>();
  const reviving = new Set<object>();
  let stopped = false;

  async function revive(member: (typeof members)[number]): Promise<void> {
    const lived = performance.now() - member.startedAtMs;
    const pauseMs = lived > STABLE_MS ? PAUSE_FIRST_MS : (pauses.get(member) ?? PAUSE_FIRST_MS);
    pauses.set(member, Math.min(2 * pauseMs, PAUSE_LAST_MS));
    await sleep(pauseMs);
    if (stopped) return;
    // Why it does not start is in its log, which the screen names.
    await member.start("alive").catch(() => undefined);
  }

  return {
    look() {
      for (const member of members) {
        if (stopped || member.isRunning || reviving.has(member)) continue;
        reviving.add(member);
        void revive(member).finally(() => reviving.delete(member));
      }
    },
    stop() {
      stopped = true;
    },
  };
}
