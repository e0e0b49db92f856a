/**
 * The feed of live streams in one process: follows what all shards tell on the Bus, keeps the last
 * two minutes of it, and tells each client what is new to it. Made by a program that serves reports;
 * routes and services bring their clients.
 *
 *  W1 A client has a place, not a queue: the seconds that it is yet to be told are rendered when it
 *     can take them, as they are then. So a slow one gets its changes merged, and what waits for it
 *     in memory is one event beyond what its connection takes.
 *  W2 A client that takes nothing for `liveSlowClientMs` is cut off, SLOW_CLIENT, and counted.
 *  W3 A client that comes back is told all that it missed: seconds while they are kept, before
 *     them minutes of the counts, back to `liveMinutesMs`.
 *  W4 There are `liveMaxClients` at the most; one more is refused, OVERLOADED.
 *  W5 A client whose access ended is cut off within `keyRecheckMs`, ACCESS_ENDED.
 */
import { AdtallyError, messageOf } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import type { Bus } from "../ports/bus.ts";
import type { Clock, RandomBytes, Timer } from "../runtime/clock.ts";
import { withDeadline } from "../runtime/deadline.ts";
import type { Logger } from "../runtime/log.ts";
import { decodeDelta } from "./delta.ts";
import type { EndCode, LiveEvent } from "./event.ts";
import { liveChannel } from "./publisher.ts";
import { formatResume, parseResume, type ResumePoint } from "./resume.ts";
import { LiveSeconds, type Second } from "./seconds.ts";
import { minuteEvent, secondEvent, type AdMinute, type LiveView } from "./view.ts";

/** One client's connection. */
export interface LiveClient {
  /** False: it takes no more until `ready` is called. */
  send(event: RenderedEvent): boolean;
  end(code: EndCode, detail: string): void;
  /** Whether they may still: throws UNAUTHENTICATED or PERMISSION_DENIED where not. */
  reauthorise(): Promise<unknown>;
}

/** Made once for all who are shown the same; `wire` keeps what a protocol made of it. */
export interface RenderedEvent {
  readonly id: string;
  readonly event: LiveEvent;
  wire?: unknown;
}

export interface Watch {
  /** The client takes more again. */
  ready(): void;
  close(): void;
}

export interface WatchRequest {
  readonly view: LiveView;
  /** The last event's id; wins over `recentSeconds`. */
  readonly resume?: string;
  readonly recentSeconds?: number;
}

export interface LiveFeed {
  /** @throws OVERLOADED (W4), INPUT_INVALID for a resume that is no id */
  watch(request: WatchRequest, client: LiveClient): Watch;
  readonly clients: number;
  readonly ended: Readonly<Record<EndCode, number>>;
  /** Ends all streams, and takes no new ones. */
  close(): void;
}

export interface LiveFeedDeps {
  readonly bus: Pick<Bus, "follow" | "isHistoryShared">;
  readonly shards: () => readonly number[];
  /** Counts of these minutes (since 1970), of each at least its ads with most clicks. */
  readonly minutes: (
    fromMinute: number,
    throughMinute: number,
    view: LiveView,
  ) => Promise<ReadonlyMap<number, readonly AdMinute[]>>;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: Logger;
}

interface Member extends Watch {
  readonly view: LiveView;
  readonly client: LiveClient;
  /** Told in order before all else: minutes, then seconds by their time. */
  backlog: (RenderedEvent | number)[];
  version: number;
  /** Nothing of the time before is told. */
  fromSecond: number;
  /** Minutes are being read. */
  isWaiting: boolean;
  blockedSinceMs: number | undefined;
  checkedAtMs: number;
}

/** Seconds told again to a client that another server told last: it may have been behind with some. */
const OVERLAP_SECONDS = 10;
const TICK_MS = 250;

export function createLiveFeed(deps: LiveFeedDeps): LiveFeed {
  const { bus, shards, limits, clock, random, logger } = deps;
  const generation = random(6).toString("hex");
  // A history that ended with the last process has nothing to tell of the time before this one.
  const seconds = new LiveSeconds(limits, clock.now() - (bus.isHistoryShared ? limits.liveHistoryMs : 0));
  const members = new Set<Member>();
  const ended: Record<EndCode, number> = { DRAINING: 0, SLOW_CLIENT: 0, ACCESS_ENDED: 0 };
  const rendered = new WeakMap<Second, WeakMap<LiveView, RenderedEvent & { readonly version: number }>>();
  let gathering: Timer | undefined;
  let isClosed = false;

  function renderSecond(second: Second, view: LiveView, version: number): RenderedEvent {
    const byView =
      rendered.get(second) ?? new WeakMap<LiveView, RenderedEvent & { readonly version: number }>();
    rendered.set(second, byView);
    const known = byView.get(view);
    const id = formatResume({ second: second.second, generation, version });
    if (known?.version === second.version && known.id === id) return known;
    const event = secondEvent(second, view, limits.liveEventMaxAds);
    const made = { id, event, version: second.version };
    byView.set(view, made);
    return made;
  }

  /** What the client is told next, and how its place changes once it is. */
  function next(member: Member): RenderedEvent | undefined {
    while (member.backlog.length > 0) {
      const first = member.backlog.shift()!;
      if (typeof first !== "number") return first;
      const second = seconds.get(first);
      if (second !== undefined && second.version > 0) return renderSecond(second, member.view, 0);
    }
    for (;;) {
      const second = seconds.after(member.version);
      if (second === undefined) return undefined;
      member.version = second.version;
      if (second.second >= member.fromSecond) return renderSecond(second, member.view, second.version);
    }
  }

  function pump(member: Member): void {
    while (members.has(member) && !member.isWaiting && member.blockedSinceMs === undefined) {
      const event = next(member);
      if (event === undefined) return;
      if (!member.client.send(event)) member.blockedSinceMs = clock.monotonic();
    }
  }

  function tell(): void {
    gathering = undefined;
    if (seconds.advance(clock.now())) for (const member of [...members]) pump(member);
  }

  function end(member: Member, code: EndCode, detail: string): void {
    if (!members.delete(member)) return;
    ended[code] += 1;
    member.client.end(code, detail);
  }

  function check(member: Member, nowMs: number): void {
    if (member.blockedSinceMs !== undefined && nowMs - member.blockedSinceMs >= limits.liveSlowClientMs) {
      const tookMs = limits.liveSlowClientMs;
      end(member, "SLOW_CLIENT", `took nothing for ${tookMs / 1_000} s: connect again with the last id`);
      logger.warn({ tookMs }, "live stream ended: its client does not read");
      return;
    }
    if (nowMs - member.checkedAtMs < limits.keyRecheckMs) return;
    member.checkedAtMs = nowMs;
    member.client.reauthorise().catch((error: unknown) => {
      if (isRefusal(error)) end(member, "ACCESS_ENDED", messageOf(error));
    });
  }

  const following = bus.follow(
    () => shards().map(liveChannel),
    clock.now() - limits.liveHistoryMs,
    (message) => {
      const delta = decodeDelta(message);
      if (delta === undefined || !seconds.add(delta, clock.now())) return;
      gathering ??= clock.after(limits.liveGatherMs, tell);
    },
  );
  const ticking = clock.every(TICK_MS, () => {
    tell();
    const nowMs = clock.monotonic();
    for (const member of [...members]) check(member, nowMs);
  });

  /** Sets where a client begins. W3 */
  function begin(member: Member, request: WatchRequest): void {
    const point = pointOf(request, clock.now());
    if (point === undefined) return;
    member.fromSecond = point.generation === "" ? point.second - OVERLAP_SECONDS : 0;
    const isOurs = point.generation === generation && point.version > 0;
    if (isOurs && point.second >= seconds.first) {
      member.version = Math.min(point.version, seconds.version);
      return;
    }
    const from = point.generation === generation ? point.second + 1 : point.second - OVERLAP_SECONDS;
    const last = Math.floor(clock.now() / 1_000);
    for (let second = Math.max(from, seconds.first); second <= last; second += 1) member.backlog.push(second);
    if (point.second + 1 < seconds.first) void beginWithMinutes(member, point.second + 1);
  }

  async function beginWithMinutes(member: Member, fromSecond: number): Promise<void> {
    member.isWaiting = true;
    const { first } = seconds;
    const earliest = Math.floor((clock.now() - limits.liveMinutesMs) / 60_000);
    const from = Math.max(Math.floor(fromSecond / 60), earliest);
    const through = Math.floor((first - 1) / 60);
    try {
      const reading = deps.minutes(from, through, member.view);
      const counts = await withDeadline(clock, limits.liveMinutesDeadlineMs, "the counts", reading);
      const told: RenderedEvent[] = [];
      for (let minute = from; minute <= through; minute += 1) {
        const event = minuteEvent(
          minute,
          counts.get(minute) ?? [],
          laterOf(minute, first),
          member.view,
          limits.liveEventMaxAds,
        );
        const second = Math.min(minute * 60 + 59, first - 1);
        told.push({ id: formatResume({ second, generation, version: 0 }), event });
      }
      member.backlog = [...told, ...member.backlog];
    } catch (error) {
      logger.warn({ error: messageOf(error) }, "a live stream was resumed without its minutes");
    }
    member.isWaiting = false;
    pump(member);
  }

  /** The minute's seconds from `first` on. */
  function laterOf(minute: number, first: number): Second[] {
    const later: Second[] = [];
    for (let at = Math.max(first, minute * 60); at < (minute + 1) * 60; at += 1) {
      const second = seconds.get(at);
      if (second !== undefined) later.push(second);
    }
    return later;
  }

  return {
    watch(request, client) {
      if (isClosed) throw new AdtallyError("ABORTED", "this server is stopping: connect again");
      if (members.size >= limits.liveMaxClients)
        throw new AdtallyError("OVERLOADED", `there are ${members.size} live streams already`, {
          retryAfterMs: 5_000,
        });
      const member: Member = {
        view: request.view,
        client,
        backlog: [],
        version: seconds.version,
        fromSecond: Math.floor(clock.now() / 1_000),
        isWaiting: false,
        blockedSinceMs: undefined,
        checkedAtMs: clock.monotonic(),
        ready() {
          member.blockedSinceMs = undefined;
          pump(member);
        },
        close: () => void members.delete(member),
      };
      begin(member, request);
      members.add(member);
      pump(member);
      return member;
    },
    get clients() {
      return members.size;
    },
    ended,
    close() {
      isClosed = true;
      gathering?.cancel();
      ticking.cancel();
      following.close();
      for (const member of [...members]) end(member, "DRAINING", "this server is stopping: connect again");
    },
  };
}

function isRefusal(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return code === "UNAUTHENTICATED" || code === "PERMISSION_DENIED";
}

/** @throws INPUT_INVALID */
function pointOf({ resume, recentSeconds = 0 }: WatchRequest, nowMs: number): ResumePoint | undefined {
  if (resume !== undefined && resume !== "") {
    const point = parseResume(resume);
    if (point === undefined)
      throw new AdtallyError("INPUT_INVALID", "Last-Event-ID (resume_token) is no id of a live event");
    return point;
  }
  if (recentSeconds === 0) return undefined;
  return { second: Math.floor(nowMs / 1_000) - recentSeconds + OVERLAP_SECONDS, generation: "", version: 0 };
}
