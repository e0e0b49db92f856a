/** Waits with a bound, for everything that a load test waits for. */
import { setTimeout as sleep } from "node:timers/promises";

export { sleep };

/** Asks until the answer is not undefined; an attempt that throws counts as no answer. */
export async function until<T>(
  what: string,
  deadlineMs: number,
  ask: () => Promise<T | undefined>,
  pauseMs = 50,
): Promise<T> {
  const giveUpAt = performance.now() + deadlineMs;
  let last: unknown = "no answer";
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > giveUpAt) {
      throw new Error(`${what}: not within ${deadlineMs} ms (${String(last)})`);
    }
    await sleep(pauseMs);
  }
}

export async function within<T>(what: string, deadlineMs: number, promise: Promise<T>): Promise<T> {
  const stop = new AbortController();
  const late = sleep(deadlineMs, undefined, { signal: stop.signal }).then(() => {
    throw new Error(`${what}: not within ${deadlineMs} ms`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    stop.abort();
    late.catch(() => undefined);
  }
}
