/**
 * Sends the planned clicks as clients would: at a pace, over HTTP and gRPC, asking again with
 * the same token when no answer came. Keeps a record of every attempt for the oracle.
 *
 * The pace is an open loop: clicks arrive when their time has come, whatever became of those
 * before. What a stall held back is sent as soon as there is room.
 */
import { uuidV7Ms } from "../../actors/core/ids.ts";
import { Verdict } from "../../actors/core/verdict.ts";
import type { SeededRandom } from "../../actors/sim/random.ts";
import { createGrpcClicks, encodeClick, type ClickMessage } from "../lib/grpc-client.ts";
import { createHttpClicks } from "../lib/http-clicks.ts";
import { ADMIN_KEY } from "../lib/program.ts";
import { tokenText } from "../lib/tokens.ts";
import { sleep } from "../lib/wait.ts";
import type { PlannedClick, PlannedSend, Way } from "./plan.ts";

/** At each gateway. */
const HTTP_CONNECTIONS = 48;
/** As load generators do: a system call a click would cost more than the click. */
const HTTP_PIPELINED = 8;
const GATHER_MS = 10;
const RETRY_MS = 250;
/** A click that cannot get through for this long is given up: it stays unanswered. */
const GIVE_UP_MS = 60_000;
/** Of first sends, those that wait to ask again included. */
const MOST_UNDER_WAY = 6_000;
const PACE_MS = 8;

/** An answer: a verdict of gRPC, or what HTTP says of one. */
export type Answer = "redirected" | "damaged" | number;

export interface Attempt {
  /** Which of the click's planned sends: 0 is the first, others are repeats. */
  readonly send: number;
  readonly way: Way;
  readonly sentMs: number;
  endedMs: number;
  /** The client's own click time; undefined: the gateway's. */
  readonly clickedAtMs: number | undefined;
  /** Undefined: none came, and the click may have been taken or not. */
  answer: Answer | undefined;
}

export interface SentClick {
  readonly click: PlannedClick;
  readonly attempts: Attempt[];
}

/** Where a gateway listens, or what stands before several. */
export interface Entry {
  /** 127.0.0.1 where nothing is said. */
  readonly host?: string;
  readonly httpPort: number;
  readonly grpcPort: number;
}

type Deliver = (click: PlannedClick, message: ClickMessage) => Promise<Answer>;

interface Gathered {
  readonly message: ClickMessage;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** Gathers what comes within a few milliseconds, and sends it in pieces of random size. */
function gathering(random: SeededRandom, send: (pieces: readonly Gathered[]) => Promise<readonly number[]>) {
  let waiting: Gathered[] = [];
  const flush = () => {
    const all = waiting;
    waiting = [];
    while (all.length > 0) {
      const piece = all.splice(0, 1 + random.below(64));
      send(piece).then(
        (verdicts) => piece.forEach(({ resolve }, i) => resolve(verdicts[i]!)),
        (error: unknown) => piece.forEach(({ reject }) => reject(error)),
      );
    }
  };
  return (message: ClickMessage) =>
    new Promise<Answer>((resolve, reject) => {
      if (waiting.push({ message, resolve, reject }) === 1) setTimeout(flush, GATHER_MS);
    });
}

interface Ways {
  readonly ways: Record<Way, Deliver>;
  resent(): number;
  close(): void;
}

function createWays(entry: Entry, random: SeededRandom, asBrowsers: boolean): Ways {
  const { host = "127.0.0.1", httpPort, grpcPort } = entry;
  const pipelined = asBrowsers ? 1 : HTTP_PIPELINED;
  const http = createHttpClicks(httpPort, HTTP_CONNECTIONS, pipelined, { host, resends: asBrowsers });
  const grpc = createGrpcClicks(`${host}:${grpcPort}`, ADMIN_KEY);
  const stream = grpc.openStream();
  const overStream = gathering(random, async (pieces) => {
    const result = await stream.send(pieces.map(({ message }) => encodeClick(message)));
    if (result.refusal !== undefined) throw new Error(`refused: ${result.refusal.code}`);
    if (result.verdicts.length !== pieces.length) throw new Error("a batch's verdicts are not one a click");
    return [...result.verdicts];
  });
  const overSubmitClicks = gathering(random, (pieces) =>
    grpc.submitClicks(pieces.map(({ message }) => message)),
  );
  const overHttp: Deliver = async ({ token, adId }) => {
    const { status, location } = await http.click(tokenText(token!));
    if (status === 302 && location === `https://shop.example/ad/${adId}`) return "redirected";
    if (status === 400) return "damaged";
    throw new Error(`status ${status}, location ${location}`);
  };
  return {
    ways: {
      http: overHttp,
      stream: (_click, message) => overStream(message),
      "submit-clicks": (_click, message) => overSubmitClicks(message),
      "submit-click": (_click, message) => grpc.submitClick(message),
    },
    resent: () => http.resent,
    close() {
      stream.end();
      grpc.close();
      http.close();
    },
  };
}

/** The click over gRPC; its own time never lies before its impression's. */
function messageOf(click: PlannedClick, clickedAtMs: number | undefined, random: SeededRandom): ClickMessage {
  const { token, clickId, adId } = click;
  const text = token !== undefined && random.chance(0.5) ? Buffer.from(tokenText(token)) : token;
  return {
    ...(text === undefined ? { clickId: clickId!, adId } : { token: text }),
    ...(clickedAtMs === undefined ? {} : { clickedAtMs }),
    ip: Buffer.from([10, random.below(256), random.below(256), random.below(256)]),
    userAgent: Buffer.from("adtally-loadtest"),
  };
}

function ownTime(click: PlannedClick, { clickedAgoMs }: PlannedSend, nowMs: number): number | undefined {
  if (clickedAgoMs === undefined) return undefined;
  const impressionMs = uuidV7Ms(Buffer.from(click.impressionId.replaceAll("-", ""), "hex"));
  return Math.max(nowMs - clickedAgoMs, impressionMs);
}

export interface Sender {
  /** Sends it now, and its repeats when their time has come. */
  release(click: PlannedClick): void;
  /** Clicks released so far, in their order. */
  readonly all: readonly SentClick[];
  /** Sends without an answer yet, those that wait to ask again included. */
  underWay(): number;
  /** Attempts without an answer so far. */
  lost(): number;
  /** Requests that were sent once more, as browsers do. */
  resent(): number;
  /** Resolves when all that was released is over, repeats included, and ends the connections. */
  close(): Promise<void>;
}

/** `asBrowsers`: one request at a time on a connection (http-clicks.ts, H3). */
export function createSender(entries: readonly Entry[], random: SeededRandom, asBrowsers = false): Sender {
  const gateways = entries.map((entry) => createWays(entry, random, asBrowsers));
  const all: SentClick[] = [];
  const sendings = new Set<Promise<void>>();
  let underWay = 0;
  let lost = 0;

  async function sendOne(sent: SentClick, send: number): Promise<void> {
    const { click, attempts } = sent;
    const planned = click.sends[send]!;
    underWay += 1;
    const clickedAtMs = ownTime(click, planned, Date.now());
    const message = messageOf(click, clickedAtMs, random);
    const giveUpAt = performance.now() + GIVE_UP_MS;
    for (;;) {
      const sentMs = Date.now();
      const { way } = planned;
      const attempt: Attempt = { send, way, sentMs, endedMs: 0, clickedAtMs, answer: undefined };
      attempts.push(attempt);
      attempt.answer = await random
        .pick(gateways)
        .ways[way](click, message)
        .catch(() => undefined);
      attempt.endedMs = Date.now();
      if (attempt.answer !== undefined) break;
      lost += 1;
      if (click.walksAway || performance.now() > giveUpAt) break;
      await sleep(RETRY_MS + random.below(RETRY_MS));
    }
    underWay -= 1;
  }

  return {
    all,
    underWay: () => underWay,
    lost: () => lost,
    resent: () => gateways.reduce((sum, { resent }) => sum + resent(), 0),
    release(click) {
      const sent: SentClick = { click, attempts: [] };
      all.push(sent);
      for (const [send, { afterMs }] of click.sends.entries()) {
        const sending = afterMs === 0 ? sendOne(sent, send) : sleep(afterMs).then(() => sendOne(sent, send));
        sendings.add(sending);
        void sending.then(() => sendings.delete(sending));
      }
    },
    async close() {
      await Promise.all(sendings);
      for (const { close } of gateways) close();
    },
  };
}

export interface Sending {
  /** Clicks released so far. */
  released(): number;
  /** Sends without an answer yet, those that wait to ask again included. */
  underWay(): number;
  /** Attempts without an answer so far. */
  lost(): number;
  readonly done: Promise<readonly SentClick[]>;
}

/**
 * Starts sending at `rate` clicks a second, each attempt to any one of the gateways; while too
 * many are under way it waits, and makes up for it afterwards. Ends with the plan, or as soon as
 * it is told that what came is enough.
 */
export function sendAll(
  entries: readonly Entry[],
  plan: readonly PlannedClick[],
  rate: number,
  random: SeededRandom,
  isEnough: (released: number) => boolean = () => false,
): Sending {
  const sender = createSender(entries, random);
  const released = () => sender.all.length;

  async function run(): Promise<readonly SentClick[]> {
    const startedAt = performance.now();
    while (released() < plan.length && !isEnough(released())) {
      const due = Math.floor(((performance.now() - startedAt) * rate) / 1_000) + 1;
      while (released() < Math.min(due, plan.length) && sender.underWay() < MOST_UNDER_WAY) {
        sender.release(plan[released()]!);
      }
      await sleep(PACE_MS);
    }
    await sender.close();
    return sender.all;
  }

  return { released, underWay: sender.underWay, lost: sender.lost, done: run() };
}

/** Verdicts that say: this valid click is counted, now, since before, or as soon as its shard is back. */
export function saysCounted(answer: Answer | undefined): boolean {
  return (
    answer === "redirected" ||
    answer === Verdict.ACCEPTED ||
    answer === Verdict.DUPLICATE ||
    answer === Verdict.DEFERRED
  );
}
