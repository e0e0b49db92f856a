/**
 * GET /v1/reports/live: clicks as they are counted, second by second. Read by fetch, as an
 * EventSource sends no key. A stream that ends is asked for again, from where it ended; a page
 * that nobody sees reads none.
 */
import { ApiError, type Api } from "./api.ts";
import { useEffect, useState } from "./ui.ts";

export interface LiveAd {
  readonly ad_id: string;
  readonly campaign_id: string;
  readonly advertiser_id: string;
  readonly clicks: number;
}

export interface Second {
  /** When it began: milliseconds since 1970, by the clock of whoever counted. */
  readonly atMs: number;
  readonly clicks: number;
  readonly ads: readonly LiveAd[];
}

export interface Live {
  readonly state: "connecting" | "live" | "away";
  /** Of the last minute, the oldest first. */
  readonly seconds: readonly Second[];
}

export const KEPT_SECONDS = 60;
/** What the stream says of one second; the last that it says holds. */
interface SecondSaid {
  readonly second: string;
  readonly clicks_per_second: number;
  readonly ads: readonly LiveAd[];
}

const AGAIN_MS = [500, 1_000, 3_000, 10_000];

interface ServerEvent {
  readonly id: string;
  readonly name: string;
  readonly data: string;
}

/** The events of a stream of text, whole ones alone; what is left is to be put before the next piece. */
export function splitEvents(text: string): {
  readonly events: readonly ServerEvent[];
  readonly rest: string;
} {
  const blocks = text.replaceAll("\r\n", "\n").split("\n\n");
  const rest = blocks.pop() ?? "";
  const events = blocks.map((block) => {
    const fields: Record<string, string> = {};
    for (const line of block.split("\n")) {
      const [, name = "", value = ""] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
      if (name !== "")
        fields[name] = name === "data" && "data" in fields ? `${fields["data"]}\n${value}` : value;
    }
    return { id: fields["id"] ?? "", name: fields["event"] ?? "message", data: fields["data"] ?? "" };
  });
  return { events: events.filter(({ data }) => data !== ""), rest };
}

export function useLive(api: Api, query: string): Live {
  const [live, setLive] = useState<Live>({ state: "connecting", seconds: [] });
  useEffect(() => {
    const stop = new AbortController();
    let reading: AbortController | undefined;
    let failures = 0;
    let lastId = "";
    const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    const seen = () => (document.visibilityState === "hidden" ? reading?.abort() : wake?.());
    let wake: (() => void) | undefined;
    document.addEventListener("visibilitychange", seen);

    const take = ({ id, name, data }: ServerEvent): void => {
      if (id !== "") lastId = id;
      failures = 0;
      if (name !== "second") return;
      const said = JSON.parse(data) as SecondSaid;
      const second = { atMs: Date.parse(said.second), clicks: said.clicks_per_second, ads: said.ads };
      setLive(({ seconds }) => ({ state: "live", seconds: withSecond(seconds, second) }));
    };
    const read = async (): Promise<void> => {
      reading = new AbortController();
      const response = await api.stream(
        `/v1/reports/live${query}`,
        lastId,
        AbortSignal.any([stop.signal, reading.signal]),
      );
      const decoder = new TextDecoder();
      let text = "";
      for (const reader = response.body!.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) return;
        const { events, rest } = splitEvents(text + decoder.decode(value, { stream: true }));
        text = rest;
        events.forEach(take);
      }
    };
    const run = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        if (document.visibilityState === "hidden") await new Promise<void>((resolve) => (wake = resolve));
        try {
          await read();
        } catch (error) {
          if (stop.signal.aborted) return;
          if (
            error instanceof ApiError &&
            error.status >= 400 &&
            error.status < 500 &&
            error.status !== 429
          ) {
            setLive(({ seconds }) => ({ state: "away", seconds }));
            return;
          }
        }
        setLive(({ seconds }) => ({ state: failures > 0 ? "away" : "connecting", seconds }));
        await wait(AGAIN_MS[Math.min(failures++, AGAIN_MS.length - 1)]!);
      }
    };
    setLive({ state: "connecting", seconds: [] });
    void run();
    return () => {
      stop.abort();
      wake?.();
      document.removeEventListener("visibilitychange", seen);
    };
  }, [api, query]);
  return live;
}

/** A second said anew takes its own place. */
export function withSecond(seconds: readonly Second[], second: Second): readonly Second[] {
  const others = seconds.filter(
    ({ atMs }) => atMs !== second.atMs && atMs > second.atMs - KEPT_SECONDS * 1_000,
  );
  return [...others, second].sort((a, b) => a.atMs - b.atMs).slice(-KEPT_SECONDS);
}

/** Clicks of each of the last seconds, up to the newest that was told. */
export function perSecond({ seconds }: Live): readonly number[] {
  const newest = seconds.at(-1)?.atMs ?? 0;
  const counts = new Array<number>(KEPT_SECONDS).fill(0);
  for (const { atMs, clicks } of seconds)
    counts[KEPT_SECONDS - 1 - Math.round((newest - atMs) / 1_000)] = clicks;
  return counts;
}

/** Clicks of the last minute by what the ads are part of. */
export function ofLastMinute({ seconds }: Live, by: "campaign_id" | "ad_id"): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { ads } of seconds) for (const ad of ads) sums.set(ad[by], (sums.get(ad[by]) ?? 0) + ad.clicks);
  return sums;
}
