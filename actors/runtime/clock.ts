/** Time, timers and randomness, handed in wherever they are needed; a simulator brings its own. */
import { randomBytes } from "node:crypto";

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall-clock milliseconds since 1970. May step either way. */
  now(): number;
  /** Milliseconds that never step back; only differences mean anything. */
  monotonic(): number;
  after(delayMs: number, run: () => void): Timer;
  every(periodMs: number, run: () => void): Timer;
}

export type RandomBytes = (count: number) => Buffer;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, run) => {
    const handle = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  every: (periodMs, run) => {
    const handle = setInterval(run, periodMs);
    return { cancel: () => clearInterval(handle) };
  },
};

export const systemRandom: RandomBytes = (count) => randomBytes(count);

export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
}
