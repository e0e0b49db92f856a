/** The live counts of programs: the bus that they go over, who tells on it, and who follows it. */
import { createLiveMinutes } from "../../actors/adapters/clickhouse/live-minutes.ts";
import type { ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { createLocalBus } from "../../actors/adapters/embedded/local-bus.ts";
import { createRedisBus } from "../../actors/adapters/redis/bus.ts";
import type { RedisConnection } from "../../actors/adapters/redis/connection.ts";
import type { Limits } from "../../actors/core/limits.ts";
import { END_CODES } from "../../actors/live/event.ts";
import { createLiveFeed, type LiveFeed } from "../../actors/live/feed.ts";
import { createLivePublisher, type LivePublisher } from "../../actors/live/publisher.ts";
import type { Bus } from "../../actors/ports/bus.ts";
import type { Clock, RandomBytes } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import type { Metrics } from "../../actors/runtime/metrics.ts";
import type { Program } from "./program.ts";

/** Undefined without Redis: then nothing is told, and /v1/reports/live says so. */
export function openBus(program: Program<unknown>, redis: RedisConnection | undefined): Bus | undefined {
  if (redis === undefined) return undefined;
  const { clock, life, limits } = program;
  const bus = createRedisBus({ redis, limits, clock });
  life.onStop("the bus", () => bus.close());
  return bus;
}

/** Begun before the shards: it stops, and tells the last of them, after they have. */
export function openPublisher(program: Program<unknown>, bus: Bus | undefined): LivePublisher | undefined {
  if (bus === undefined) return undefined;
  const publisher = createLivePublisher({ ...program, bus });
  program.life.onStop("the last live counts", () => publisher.stop());
  observePublisher(program.metrics, publisher);
  return publisher;
}

interface FeedParts {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly logger: Logger;
  readonly random: RandomBytes;
  readonly clickhouse: ClickHouse;
  readonly shards: () => readonly number[];
}

/** Closed by the routes that serve it, before their server. */
export function openFeed(parts: FeedParts & { readonly bus: Bus; readonly metrics: Metrics }): LiveFeed {
  const feed = createLiveFeed({ ...parts, minutes: createLiveMinutes(parts.clickhouse) });
  observeFeed(parts.metrics, feed);
  return feed;
}

export interface LocalLive {
  readonly publisher: LivePublisher;
  readonly feed: LiveFeed;
  observe(metrics: Metrics): void;
  close(): Promise<void>;
}

/** Both ends, and a bus between them, in one process. */
export function openLocalLive(parts: FeedParts): LocalLive {
  const bus = createLocalBus(parts);
  const publisher = createLivePublisher({ ...parts, bus });
  const feed = createLiveFeed({ ...parts, bus, minutes: createLiveMinutes(parts.clickhouse) });
  return {
    publisher,
    feed,
    observe(metrics) {
      observePublisher(metrics, publisher);
      observeFeed(metrics, feed);
    },
    async close() {
      feed.close();
      await publisher.stop();
      await bus.close();
    },
  };
}

function observePublisher(metrics: Metrics, publisher: LivePublisher): void {
  const lost = metrics.gauge({
    name: "adtally_live_lost_clicks",
    help: "Counted clicks that no live stream was told of, since the start: the bus was away for long.",
    labels: {},
  });
  metrics.beforeScrape(() => lost.of({}).set(publisher.lost));
}

function observeFeed(metrics: Metrics, feed: LiveFeed): void {
  const clients = metrics.gauge({
    name: "adtally_live_clients",
    help: "Live streams that are open.",
    labels: {},
  });
  const ended = metrics.gauge({
    name: "adtally_live_ended_streams",
    help: "Live streams that this server ended, since the start, by why.",
    labels: { code: END_CODES },
  });
  metrics.beforeScrape(() => {
    clients.of({}).set(feed.clients);
    for (const code of END_CODES) ended.of({ code }).set(feed.ended[code]);
  });
}
