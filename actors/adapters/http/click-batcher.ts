/**
 * Gathers HTTP clicks, so that they reach each shard as one submission and its log as one block,
 * and keeps who waits for which row.
 *
 *  A1 A click that comes when none has gone for `httpGatherMs` waits for the end of the event loop's
 *     turn alone. Where they follow one another, a click waits at most `httpGatherMs`, or until
 *     `httpGatherEnoughClicks` are gathered and the turn ends, or `httpGatherMaxClicks`: there are
 *     thousands of turns a second, and a submission and a sync for each cost more than the clicks.
 *  A2 At most `httpMaxWaitingClicks` clicks wait for their shard; past it `isFull`.
 *  A3 Each click added is answered exactly once: `decided` when its row is durable, `failed` when
 *     it may not be.
 */
import { RowGather } from "../../intake/row-gather.ts";
import type { Limits } from "../../core/limits.ts";
import type { Part } from "../../intake/row-gather.ts";
import type { ShardPort } from "../../ports/shard-port.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";

export interface Waiting {
  decided(): void;
  failed(error: unknown): void;
}

export class ClickBatcher {
  /** Where a click's row goes, with `nextIndex`, before `add`. */
  readonly gather: RowGather;
  readonly #port: ShardPort;
  readonly #clock: Clock;
  readonly #limits: Limits;
  #gathered: Waiting[] = [];
  #waitingCount = 0;
  /** What hands on what is gathered: a timer, or the end of this turn. */
  #timer: Timer | undefined;
  #isTurnLast = false;
  #flushedAt = -Infinity;

  constructor(port: ShardPort, clock: Clock, limits: Limits) {
    this.#port = port;
    this.#clock = clock;
    this.#limits = limits;
    this.gather = new RowGather(limits);
  }

  get isFull(): boolean {
    return this.#waitingCount >= this.#limits.httpMaxWaitingClicks;
  }

  get nextIndex(): number {
    return this.#gathered.length;
  }

  /** The click whose row was just written under `nextIndex`. */
  add(click: Waiting): void {
    this.#gathered.push(click);
    this.#waitingCount += 1;
    if (this.#gathered.length >= this.#limits.httpGatherMaxClicks) this.#flush();
    else if (!this.#isTurnLast) this.#schedule();
  }

  /** A1 */
  #schedule(): void {
    const { httpGatherEnoughClicks, httpGatherMs } = this.#limits;
    const isEnough = this.#gathered.length >= httpGatherEnoughClicks;
    if (this.#timer !== undefined && !isEnough) return;
    const waitMs = isEnough ? 0 : this.#flushedAt + httpGatherMs - this.#clock.monotonic();
    if (waitMs > 0) {
      this.#timer = this.#clock.after(waitMs, () => this.#flush());
      return;
    }
    this.#isTurnLast = true;
    setImmediate(() => {
      this.#isTurnLast = false;
      this.#flush();
    });
  }

  #flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#flushedAt = this.#clock.monotonic();
    const clicks = this.#gathered;
    this.#gathered = [];
    for (const part of this.gather.drain()) this.#submit(part, clicks);
  }

  #submit(part: Part, clicks: readonly Waiting[]): void {
    const settle = (tell: (click: Waiting) => void): void => {
      this.#waitingCount -= part.count;
      for (const index of part.clicks) tell(clicks[index]!);
    };
    this.#port.submit(part).then(
      () => settle((click) => click.decided()),
      (error: unknown) => settle((click) => click.failed(error)),
    );
  }
}
