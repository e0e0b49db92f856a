/** What every component needs: markup, hooks, and how an answer of the API is waited for. */
import { h, type VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import htm from "htm";
import { ApiError } from "./api.ts";

export { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
export { render, type ComponentChildren, type VNode } from "preact";

type Html = (strings: TemplateStringsArray, ...values: unknown[]) => VNode;
// Its declarations are those of its CommonJS form; browsers load the module.
export const html = (htm as unknown as { bind(make: typeof h): Html }).bind(h);

export interface Answer<T> {
  /** The newest there is, also while a newer one is waited for, or did not come. */
  readonly data: T | undefined;
  readonly error: Error | undefined;
  /** Whether `data` answers another question than the one asked now. */
  readonly isStale: boolean;
}

const RETRY_MS = [1_000, 2_000, 5_000, 10_000];
/** Asking the same again does not help: someone must do something first. */
const isFinal = (error: unknown): boolean =>
  error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429;

/**
 * Asks when the question changes, again `everyMs` after each answer, and with growing pauses after
 * a failure; not while the page is hidden, and at once when it is seen again.
 */
export function useAnswer<T>(
  question: string | undefined,
  ask: (signal: AbortSignal) => Promise<T>,
  everyMs: number,
): Answer<T> {
  const [answer, setAnswer] = useState<{ question?: string; data?: T; error?: Error | undefined }>({});
  const asking = useRef(ask);
  asking.current = ask;
  useEffect(() => {
    if (question === undefined) return undefined;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let failures = 0;
    let rounds = 0;
    const round = async (): Promise<void> => {
      clearTimeout(timer);
      // A page that is seen again asks at once; what was under way then says no more.
      const own = ++rounds;
      if (document.visibilityState === "hidden") return;
      try {
        const data = await asking.current(stop.signal);
        if (stop.signal.aborted || own !== rounds) return;
        failures = 0;
        setAnswer({ question, data, error: undefined });
        timer = setTimeout(() => void round(), everyMs);
      } catch (error) {
        if (stop.signal.aborted || own !== rounds) return;
        setAnswer((before) => ({ ...before, error: error as Error }));
        if (isFinal(error)) return;
        timer = setTimeout(() => void round(), RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
      }
    };
    const seen = () => void round();
    document.addEventListener("visibilitychange", seen);
    void round();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [question, everyMs]);
  return { data: answer.data, error: answer.error, isStale: answer.question !== question };
}

/** The time, every so often: what ends "now" moves. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
