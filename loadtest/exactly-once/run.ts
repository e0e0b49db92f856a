/**
 * The exactly-once test of the whole program: plan, send under kills, hold ClickHouse against
 * the clients' record, then rebuild everything from the log and compare. Used by the command
 * (exactly-once.ts) and, in a shorter form, by the tests.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectClickHouse, type ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { Verdict } from "../../actors/core/verdict.ts";
import { seededRandom, type SeededRandom } from "../../actors/sim/random.ts";
import { createAds } from "../lib/ads.ts";
import { freePlace, startProgram, withEngineAlone, type Place, type Program } from "../lib/program.ts";
import { readCounts, readRaw, untilSettled, type CountRow } from "../lib/tables.ts";
import { createSigner } from "../lib/tokens.ts";
import { deadLetterFaults, explainFaults } from "./ask.ts";
import { killAgainAndAgain, type Kill } from "./kill.ts";
import { differences, factsOf, mustCount, tableDifferences } from "./oracle.ts";
import { makePlan, type Kind } from "./plan.ts";
import { sendAll, type SentClick } from "./send.ts";

const SETTLE_DEADLINE_MS = 60_000;

export interface RunOptions {
  readonly clicks: number;
  /** Clicks a second, repeats not counted. */
  readonly rate: number;
  readonly kills: number;
  readonly stops: number;
  readonly engineKills: number;
  readonly ads: number;
  readonly repeatMostMs: number;
  readonly explained: number;
  readonly seed: number;
  readonly say: (line: string) => void;
}

export interface RunResult {
  readonly figures: Readonly<Record<string, number>>;
  readonly kills: readonly Kill[];
  /** What is wrong; empty when every click counts exactly once. */
  readonly faults: readonly string[];
}

export function figuresOf(all: readonly SentClick[], counted: number): Readonly<Record<string, number>> {
  const attempts = all.flatMap(({ attempts }) => attempts);
  const kind = (name: Kind) => all.filter(({ click }) => click.kind === name).length;
  const told = (...answers: unknown[]) => attempts.filter(({ answer }) => answers.includes(answer)).length;
  return {
    "impressions clicked": all.length,
    "clicks sent": attempts.length,
    "over HTTP": attempts.filter(({ way }) => way === "http").length,
    "over gRPC": attempts.filter(({ way }) => way !== "http").length,
    "acked valid impressions": all.filter(mustCount).length,
    counted,
    "told DUPLICATE (gRPC)": told(Verdict.DUPLICATE),
    "told DEFERRED (gRPC)": told(Verdict.DEFERRED),
    "forged impressions": kind("forged"),
    "told forged": told("damaged", Verdict.BAD_SIGNATURE),
    "expired impressions": kind("expired"),
    "late impressions": kind("late"),
    "attempts without an answer": told(undefined),
    "valid impressions never answered": all.filter(
      (sent) => sent.click.kind === "valid" && !sent.attempts.some(({ answer }) => answer !== undefined),
    ).length,
  };
}

interface Checked {
  readonly figures: Readonly<Record<string, number>>;
  readonly counts: readonly CountRow[];
  readonly faults: readonly string[];
}

async function check(
  program: Program,
  all: readonly SentClick[],
  explained: number,
  random: SeededRandom,
): Promise<Checked> {
  await untilSettled(program.url, SETTLE_DEADLINE_MS);
  const clickhouse = connectClickHouse({ url: program.clickhouseUrl });
  try {
    const [counts, raw] = [await readCounts(clickhouse), await readRaw(clickhouse)];
    const facts = factsOf(raw);
    const explain = await explainFaults(program.url, all, facts, explained, random);
    const dead = await deadLetterFaults(program.url, all);
    const counted = counts.reduce((sum, { clicks }) => sum + clicks, 0);
    return {
      counts,
      figures: {
        ...figuresOf(all, counted),
        "duplicates in ClickHouse": counts.reduce((sum, { duplicates }) => sum + duplicates, 0),
        "count rows (ad, minute, shard)": counts.length,
        "raw rows": raw.length,
        "dead letters": dead.letters,
        "clicks explained": explain.asked,
      },
      faults: [...differences(all, counts, facts), ...explain.faults, ...dead.faults],
    };
  } finally {
    await clickhouse.close();
  }
}

const COUNT_TABLES = ["click_counts", "shard_checkpoints"];

/** Everything but the log is taken away from a program that is not running. */
async function wipe(place: Place): Promise<readonly CountRow[]> {
  let last: readonly CountRow[] = [];
  await withEngineAlone(place, async (url) => {
    const clickhouse = connectClickHouse({ url });
    try {
      last = await readCounts(clickhouse);
      for (const table of COUNT_TABLES) await clickhouse.command(`TRUNCATE TABLE adtally.${table}`);
      const left = await readCounts(clickhouse);
      if (left.length > 0) throw new Error(`${left.length} count rows are left after TRUNCATE`);
    } finally {
      await clickhouse.close();
    }
  });
  await rm(join(place.dataDir, "state"), { recursive: true });
  return last;
}

/** Wipes state and counts, starts on the log alone, and compares what comes back. */
async function replayFaults(place: Place, before: readonly CountRow[]): Promise<readonly string[]> {
  const atStop = await wipe(place);
  const program = await startProgram(place);
  let clickhouse: ClickHouse | undefined;
  try {
    await untilSettled(program.url, SETTLE_DEADLINE_MS);
    clickhouse = connectClickHouse({ url: program.clickhouseUrl });
    const after = await readCounts(clickhouse);
    await program.stop();
    return [...tableDifferences(before, atStop), ...tableDifferences(before, after)];
  } finally {
    await clickhouse?.close();
    await program.kill();
  }
}

export async function runExactlyOnce(options: RunOptions): Promise<RunResult> {
  const { clicks, rate, seed, say } = options;
  const random = seededRandom(seed);
  const dir = await mkdtemp(join(tmpdir(), "adtally-exactly-once-"));
  const place = await freePlace(join(dir, "data"));
  const startedAt = performance.now();
  const phase = (what: string) => say(`${what} (${((performance.now() - startedAt) / 1_000).toFixed(1)} s)`);
  let program: Program | undefined;
  try {
    program = await startProgram(place);
    phase("program ready");
    const ads = await createAds(program.url, options.ads);
    const signer = await createSigner(place.dataDir);
    const deps = { url: program.url, ads, signer, random, nowMs: Date.now() };
    const plan = await makePlan({ clicks, repeatMostMs: options.repeatMostMs }, deps);
    phase(`${clicks} clicks planned, seed ${seed}`);

    const sending = sendAll([place], plan, rate, random);
    const killing = killAgainAndAgain({
      ...options,
      place,
      program,
      random: seededRandom(seed + 1),
      released: sending.released,
      allSent: sending.done,
    });
    const [all, killed] = await Promise.all([sending.done, killing]);
    program = killed.program;
    phase("all sent");
    const { figures, counts, faults } = await check(program, all, options.explained, random);
    phase("checked against the clients' record");
    await program.stop();
    const replay = await replayFaults(place, counts);
    phase("state and counts wiped, log replayed, compared");
    return { figures, kills: killed.kills, faults: [...faults, ...replay] };
  } finally {
    await program?.kill();
    await rm(dir, { recursive: true, force: true });
  }
}
