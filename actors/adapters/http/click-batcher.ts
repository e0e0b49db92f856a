/**
 * Gathers the HTTP clicks of one turn of the event loop, so that they reach each shard as one
 * submission, and keeps who waits for which row.
 *
 *  A1 A click waits at most until the turn ends, or until `httpGatherMaxClicks` are gathered.
 *  A2 At most `httpMaxWaitingClicks` clicks wait for their shard; past it `isFull`.
 *  A3 Each click added is answered exactly once: `decided` when its row is durable, `failed` when
 *     it may not be.
 */
import { RowGather } from "../../intake/row-gather.ts";
import type { Limits } from "../../core/limits.ts";
import type { Part } from "../../intake/row-gather.ts";
import type { ShardPort } from "../../ports/shard-port.ts";

export interface Waiting {
  decided(): void;
  failed(error: unknown): void;
}

export class ClickBatcher {
  /** Where a click's row goes, with `nextIndex`, before `add`. */
  readonly gather: RowGather;
  readonly #port: ShardPort;
  readonly #limits: Limits;
  #gathered: Waiting[] = [];
  #waitingCount = 0;
  #scheduled = false;

  constructor(port: ShardPort, limits: Limits) {
    this.#port = port;
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
    else if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#flush();
      });
    }
  }

  #flush(): void {
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
