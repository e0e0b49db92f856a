/**
 * A clock that moves only when told to: timers run in order of time, and between two of them
 * all promises settle. Wall time may be made to step, as an operator's or NTP's hand would.
 */
import type { Clock, Timer } from "../runtime/clock.ts";

export interface VirtualClock extends Clock {
  /** Runs everything due within the next `ms`. */
  advance(ms: number): Promise<void>;
  /** Moves the wall clock alone. */
  stepWall(ms: number): void;
}

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** Lets promise chains of any practical depth settle. */
async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

export function virtualClock(startMs: number): VirtualClock {
  let monotonicMs = 0;
  let wallOffsetMs = startMs;
  let order = 0;
  let queue: Due[] = [];

  const after = (delayMs: number, run: () => void): Timer => {
    const due: Due = { atMs: monotonicMs + Math.max(0, delayMs), order: order++, run, cancelled: false };
    queue.push(due);
    return {
      cancel: () => {
        due.cancelled = true;
      },
    };
  };

  return {
    now: () => Math.floor(wallOffsetMs + monotonicMs),
    monotonic: () => monotonicMs,
    after,
    every: (periodMs, run) => {
      let timer: Timer;
      const again = () => {
        timer = after(periodMs, () => {
          again();
          run();
        });
      };
      again();
      return { cancel: () => timer.cancel() };
    },
    stepWall: (ms) => {
      wallOffsetMs += ms;
    },
    advance: async (ms) => {
      const untilMs = monotonicMs + ms;
      await settle();
      for (;;) {
        queue = queue.filter((due) => !due.cancelled);
        let next: Due | undefined;
        for (const due of queue) {
          if (due.atMs > untilMs) continue;
          if (
            next === undefined ||
            due.atMs < next.atMs ||
            (due.atMs === next.atMs && due.order < next.order)
          ) {
            next = due;
          }
        }
        if (next === undefined) break;
        next.cancelled = true;
        monotonicMs = Math.max(monotonicMs, next.atMs);
        next.run();
        await settle();
      }
      monotonicMs = untilMs;
    },
  };
}
