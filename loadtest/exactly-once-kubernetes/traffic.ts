/**
 * Clicks as a page's visitors make them while a cluster changes beneath: impressions are issued all
 * the time, and clicked soon, or half a minute later. So some are clicked after a change that they
 * were shown before, and repeats straddle every change, without anybody timing them.
 *
 *  T1 An open loop: an impression is clicked when its time has come, whatever became of others.
 *  T2 Impressions that could not be had are counted and asked for again; none of them is a click.
 */
import type { SeededRandom } from "../../actors/sim/random.ts";
import { makePlan } from "../exactly-once/plan.ts";
import { createSender, type Entry, type SentClick } from "../exactly-once/send.ts";
import type { TestAd } from "../lib/ads.ts";
import type { Signer } from "../lib/tokens.ts";
import { sleep } from "../lib/wait.ts";

const CHUNK_MS = 1_000;
const SOON_MS = 1_500;
/** Of the clicks, those that come long after their impression. */
const LATE_SHARE = 0.2;

export interface Pace {
  readonly perSecond: number;
  /** Of all clicks, the first ad's. */
  readonly hotShare: number;
}

export interface TrafficOptions {
  readonly entries: readonly Entry[];
  /** Where impressions are issued. */
  readonly url: string;
  readonly ads: readonly TestAd[];
  readonly signer: Signer;
  readonly repeatMostMs: number;
  /** How long after its impression a click may come. */
  readonly lateMostMs: number;
  readonly random: SeededRandom;
}

export interface Traffic {
  readonly all: readonly SentClick[];
  /** From now on. */
  set(pace: Pace): void;
  underWay(): number;
  lost(): number;
  /** Requests that went out on a connection just as it was closed, and were sent once more. */
  resent(): number;
  /** Chunks of impressions that were asked for in vain. */
  unissued(): number;
  /** Resolves when all is over that was begun. */
  stop(): Promise<readonly SentClick[]>;
}

export function startTraffic(options: TrafficOptions, first: Pace): Traffic {
  const { entries, random } = options;
  const sender = createSender(entries, random, true);
  const clicking = new Set<Promise<void>>();
  let pace = first;
  let isOver = false;
  let unissued = 0;

  const clickLater = (afterMs: number, release: () => void) => {
    const click = sleep(afterMs).then(release);
    clicking.add(click);
    void click.then(() => clicking.delete(click));
  };

  async function issue(clicks: number, hotShare: number): Promise<void> {
    const plan = await makePlan(
      { clicks, repeatMostMs: options.repeatMostMs, hotShare },
      { ...options, nowMs: Date.now() },
    );
    for (const click of plan) {
      const within = random.chance(LATE_SHARE) ? options.lateMostMs : SOON_MS;
      clickLater(random.below(within), () => sender.release(click));
    }
  }

  async function run(): Promise<void> {
    let dueAt = performance.now();
    while (!isOver) {
      const { perSecond, hotShare } = pace;
      await issue(Math.max(1, Math.round((perSecond * CHUNK_MS) / 1_000)), hotShare).catch(() => {
        unissued += 1;
      });
      dueAt = Math.max(dueAt + CHUNK_MS, performance.now() - CHUNK_MS);
      await sleep(Math.max(0, dueAt - performance.now()));
    }
  }
  const running = run();

  return {
    all: sender.all,
    set: (next) => void (pace = next),
    underWay: sender.underWay,
    lost: sender.lost,
    resent: sender.resent,
    unissued: () => unissued,
    async stop() {
      isOver = true;
      await running;
      await Promise.all(clicking);
      await sender.close();
      return sender.all;
    },
  };
}
