/** Live counts under a clock that is told when to move: a bus, blocks of clicks, clients that record. */
import { createLocalBus } from "../adapters/embedded/local-bus.ts";
import { makeBlock, type LogRecord } from "../block/block.ts";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.ts";
import { Verdict } from "../core/verdict.ts";
import type { Bus } from "../ports/bus.ts";
import { silentLogger } from "../runtime/log.ts";
import { rowsOf, uuidV7 } from "../sim/clicks.ts";
import { virtualClock, type VirtualClock } from "../sim/virtual-clock.ts";
import type { EndCode, MinuteEvent, SecondEvent } from "./event.ts";
import { createLiveFeed, type LiveClient, type LiveFeedDeps, type WatchRequest } from "./feed.ts";
import type { LiveDelta } from "./delta.ts";
import { EVERY_ADVERTISER, type LiveView } from "./view.ts";

/** The beginning of a minute. */
export const START_MS = 1_760_000_040_000;
export const START_S = START_MS / 1_000;
export const EVERYTHING: LiveView = { access: EVERY_ADVERTISER, filter: {} };

/** A block of clicks on these ads, written at `atMs`; whose every click counts but where `verdict` says else. */
export function blockAt(
  offset: number,
  atMs: number,
  ads: readonly number[],
  verdict: number = Verdict.ACCEPTED,
): { record: LogRecord; outcomes: Uint8Array } {
  const id = uuidV7(atMs, Buffer.alloc(10, offset));
  const rows = rowsOf(
    ads.map((adId) => ({ id, adId, clickMs: atMs, receivedMs: atMs })),
    0,
  );
  const header = {
    epoch: 1,
    writer: 7,
    sequence: offset + 1,
    rowCount: ads.length,
    appendTimeMs: atMs,
    sourceOffset: -1,
  };
  const outcomes = new Uint8Array(ads.length * 2);
  for (let row = 0; row < ads.length; row++) outcomes[row * 2] = verdict;
  return { record: { ...makeBlock(header, rows), offset }, outcomes };
}

/** Ads by their clicks; campaign and advertiser as rowsOf gives them. */
export function deltaOf(
  over: Partial<LiveDelta> & { readonly clicks?: Readonly<Record<number, number>> },
): LiveDelta {
  const { clicks = {}, ...rest } = over;
  const ads = Object.entries(clicks).map(([ad, count]) => ({
    adId: Number(ad),
    campaignId: Math.floor(Number(ad) / 10),
    advertiserId: Math.floor(Number(ad) / 100),
    clicks: count,
  }));
  const offset = over.fromOffset ?? 0;
  return {
    shard: 0,
    epoch: 1,
    fromOffset: offset,
    throughOffset: offset,
    second: START_S,
    ads,
    advertisers: [],
    unnamed: 0,
    ...rest,
  };
}

export interface RecordingClient extends LiveClient {
  readonly seconds: Map<string, SecondEvent>;
  readonly minutes: Map<string, MinuteEvent>;
  readonly told: (SecondEvent | MinuteEvent)[];
  lastId: string | undefined;
  ended: EndCode | undefined;
  takes: boolean;
  refused: Error | undefined;
  /** Of the newest state of each second. */
  sum(): number;
}

export function recordingClient(): RecordingClient {
  const client: RecordingClient = {
    seconds: new Map(),
    minutes: new Map(),
    told: [],
    lastId: undefined,
    ended: undefined,
    takes: true,
    refused: undefined,
    send({ id, event }) {
      client.lastId = id;
      client.told.push(event);
      if (event.kind === "second") client.seconds.set(event.second, event);
      else client.minutes.set(event.minute, event);
      return client.takes;
    },
    end: (code) => void (client.ended = code),
    async reauthorise() {
      if (client.refused !== undefined) throw client.refused;
    },
    sum: () =>
      [...client.seconds.values()].reduce((sum, event) => sum + event.clicks_per_second, 0) +
      [...client.minutes.values()].reduce((sum, event) => sum + event.clicks, 0),
  };
  return client;
}

export interface LiveWorld {
  readonly clock: VirtualClock;
  readonly limits: Limits;
  readonly bus: Bus;
  feed(over?: Partial<LiveFeedDeps>): ReturnType<typeof createLiveFeed>;
}

/** `isHistoryShared`: as Redis' is; feeds come and go on one bus. */
export function liveWorld(over: Partial<Limits> = {}, isHistoryShared = true): LiveWorld {
  const clock = virtualClock(START_MS);
  const limits = { ...DEFAULT_LIMITS, ...over };
  const local = createLocalBus({ clock, limits, logger: silentLogger });
  const bus: Bus = Object.create(local, { isHistoryShared: { value: isHistoryShared } }) as Bus;
  let generations = 0;
  return {
    clock,
    limits,
    bus,
    feed: (deps = {}) =>
      createLiveFeed({
        bus,
        shards: () => [0, 1],
        minutes: async () => new Map(),
        limits,
        clock,
        random: (count) => Buffer.alloc(count, (generations += 1)),
        logger: silentLogger,
        ...deps,
      }),
  };
}

export const watching = (
  feed: ReturnType<typeof createLiveFeed>,
  request: Partial<WatchRequest> = {},
): RecordingClient & { readonly watch: ReturnType<ReturnType<typeof createLiveFeed>["watch"]> } => {
  const client = recordingClient();
  const watch = feed.watch({ view: EVERYTHING, ...request }, client);
  return Object.assign(client, { watch });
};

export const textOf = (second: number): string =>
  new Date(second * 1_000).toISOString().replace(".000Z", "Z");
