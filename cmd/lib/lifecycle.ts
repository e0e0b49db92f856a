/**
 * The life of a program: what it waits for at start, whether it is ready, in which order it stops.
 *
 *   starting ──all steps done──► ready ──stop──► draining ──► stopped
 *       └──────────────stop, or a step's refusal───▲
 *
 *  F1 A step that fails for a backend that is not there (an error to retry) is tried again with
 *     back-off for as long as it takes; meanwhile /readyz names it. Any other failure ends the start.
 *  F2 What was started is stopped in reverse order, each once, whether the start ended or not.
 *  F3 Stopping takes at most `drainDeadlineMs` after the notice: what hangs then is named, and left.
 */
import { AdtallyError, isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { Limits } from "../../actors/core/limits.ts";
import { withDeadline } from "../../actors/runtime/deadline.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";

export interface LifecycleDeps {
  readonly limits: Pick<Limits, "drainDeadlineMs" | "reconnectMinMs" | "reconnectMaxMs">;
  /** How long a program that stops goes on serving while /readyz already says no. */
  readonly drainNoticeMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

type State = "starting" | "ready" | "draining";
type Check = () => readonly string[];

interface Stop {
  readonly what: string;
  run(): Promise<void>;
}

/** What a start that was interrupted by a stop rejects with. */
const stopping = (what: string) => new AdtallyError("ABORTED", `stopped while waiting for ${what}`);

export class Lifecycle {
  readonly #deps: LifecycleDeps;
  #state: State = "starting";
  #isUp = false;
  readonly #waiting = new Map<string, string>();
  readonly #checks: Check[] = [];
  readonly #stops: Stop[] = [];
  readonly #wakes = new Set<() => void>();
  #starting: Promise<unknown> = Promise.resolve();
  #stopping: Promise<boolean> | undefined;

  constructor(deps: LifecycleDeps) {
    this.#deps = deps;
  }

  get state(): State {
    return this.#state;
  }

  /** It listens and can be given work, though it may still wait for something. Never false again. */
  get isUp(): boolean {
    return this.#isUp;
  }

  comeUp(): void {
    this.#isUp = true;
  }

  /** Why the program is not ready, by name; empty when it is. */
  readonly readiness: Check = () => [
    ...(this.#state === "draining" ? ["draining"] : []),
    ...[...this.#waiting].map(([what, why]) => `${what}: ${why}`),
    ...(this.#state === "starting" && this.#waiting.size === 0 ? ["starting"] : []),
    ...this.#checks.flatMap((check) => check()),
  ];

  /** Adds to what readiness depends on, from now on. */
  check(check: Check): void {
    this.#checks.push(check);
  }

  /** Runs at the stop, before all that was added earlier. */
  onStop(what: string, run: () => Promise<void> | void): void {
    this.#stops.push({ what, run: async () => run() });
  }

  /** Runs the start, and is ready at its end. @throws what a step refused */
  async start<T>(run: () => Promise<T>): Promise<T> {
    const started = run();
    this.#starting = started.catch(() => undefined);
    const result = await started;
    if (this.#state === "starting") this.#state = "ready";
    this.#isUp = true;
    return result;
  }

  /** F1. @throws ABORTED when the program is stopped meanwhile */
  async waitFor<T>(what: string, attempt: () => Promise<T>): Promise<T> {
    this.#waiting.set(what, "not there yet");
    try {
      return await this.#until(what, attempt, (why) => this.#waiting.set(what, why));
    } finally {
      this.#waiting.delete(what);
    }
  }

  async #until<T>(what: string, attempt: () => Promise<T>, onWait: (why: string) => void): Promise<T> {
    const { limits, logger } = this.#deps;
    let told = "";
    for (let pauseMs = limits.reconnectMinMs; ; pauseMs = Math.min(2 * pauseMs, limits.reconnectMaxMs)) {
      if (this.#state === "draining") throw stopping(what);
      try {
        return await attempt();
      } catch (error) {
        if (!isAdtallyError(error) || error.after !== "retry") throw error;
        if (told !== error.message) logger.warn({ waitingFor: what, error: error.message }, "waiting");
        told = error.message;
        onWait(told);
      }
      await this.#pause(pauseMs);
    }
  }

  /** As waitFor, beside the start: readiness names it, and nothing needs to wait. Never rejects. */
  background(what: string, attempt: () => Promise<unknown>): Promise<void> {
    return this.#orRefused(what, this.waitFor(what, attempt));
  }

  /** As background, of what the program can serve without: readiness names it only where it is refused. */
  eventually(what: string, attempt: () => Promise<unknown>): Promise<void> {
    return this.#orRefused(
      what,
      this.#until(what, attempt, () => undefined),
    );
  }

  async #orRefused(what: string, work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (this.#state === "draining") return;
      this.#deps.logger.error({ what, error: messageOf(error) }, "refused: mend it and start again");
      this.#checks.push(() => [`${what}: ${messageOf(error)}`]);
    }
  }

  /** True where everything stopped in good order and in time. */
  stop(): Promise<boolean> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<boolean> {
    const { clock, drainNoticeMs, limits, logger } = this.#deps;
    const wasReady = this.#state === "ready";
    this.#state = "draining";
    for (const wake of this.#wakes) wake();
    if (wasReady && drainNoticeMs > 0) await this.#pause(drainNoticeMs);
    const endsAtMs = clock.monotonic() + limits.drainDeadlineMs;
    const remainingMs = () => Math.max(1, endsAtMs - clock.monotonic());
    let isClean = true;
    const run = async (what: string, work: Promise<unknown>) => {
      await withDeadline(clock, remainingMs(), what, work).catch((error: unknown) => {
        isClean = false;
        logger.error({ what, error: messageOf(error) }, "did not stop in good order");
      });
    };
    await run("the start", this.#starting);
    for (const { what, run: stop } of this.#stops.splice(0).reverse()) await run(what, stop());
    return isClean;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        timer.cancel();
        this.#wakes.delete(wake);
        resolve();
      };
      const timer = this.#deps.clock.after(ms, wake);
      this.#wakes.add(wake);
    });
  }
}
