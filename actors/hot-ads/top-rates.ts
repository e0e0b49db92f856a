/**
 * How many clicks a second a shard's top ads get, over the last whole span of time: one sketch
 * counts the span under way, and what the one before it found is told until the next span ends.
 *
 *  R1 A rate is of one whole span, never of its beginning alone: a burst at its start is no rate.
 *  R2 After a span without a click, nothing is hot.
 */
import type { IdKey } from "../core/ids.ts";
import { createSpaceSaving } from "./space-saving.ts";

export interface AdRate {
  readonly adId: IdKey;
  /** At most; at least `clicksPerSecond - error`. */
  readonly clicksPerSecond: number;
  readonly error: number;
}

export interface TopRates {
  add(adId: IdKey, clicks: number, nowMs: number): void;
  /** Of the last whole span, the largest first. */
  rates(nowMs: number, most: number): readonly AdRate[];
}

/** `nowMs` of all calls is of one clock that never steps back (Clock.monotonic). */
export function createTopRates(capacity: number, spanMs: number): TopRates {
  const sketch = createSpaceSaving(capacity);
  let startedMs: number | undefined;
  let last: readonly AdRate[] = [];

  function turn(nowMs: number): void {
    startedMs ??= nowMs;
    if (nowMs - startedMs < spanMs) return;
    const isNext = nowMs - startedMs < 2 * spanMs;
    const perSecond = (clicks: number) => (clicks * 1_000) / spanMs;
    last = isNext
      ? sketch.top(capacity).map(({ adId, count, error }) => ({
          adId,
          clicksPerSecond: perSecond(count),
          error: perSecond(error),
        }))
      : [];
    sketch.clear();
    startedMs += Math.floor((nowMs - startedMs) / spanMs) * spanMs;
  }

  return {
    add(adId, clicks, nowMs) {
      turn(nowMs);
      sketch.add(adId, clicks);
    },
    rates(nowMs, most) {
      turn(nowMs);
      return last.slice(0, most);
    },
  };
}
