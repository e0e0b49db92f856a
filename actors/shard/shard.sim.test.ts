/**
 * One shard through crashes, lost answers, repeated appends, second owners and a stepping
 * clock, from one seed; an oracle that knows only what callers were told and what the log
 * holds says what must have been counted (faults 1 to 5, 9, 11 and 15; I1 and I2).
 */
import { beforeAll, describe, expect, test } from "vitest";
import { createMemoryCountSink, type SinkFault } from "../adapters/memory/memory-count-sink.ts";
import { createMemoryLog, type AppendFault } from "../adapters/memory/memory-log.ts";
import { memoryShardStores } from "../adapters/memory/memory-shard-stores.ts";
import { makeBlock } from "../block/block.ts";
import { readImpressionId, readTime, rowEnd, RowAt } from "../block/row.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { minuteOf } from "../core/time.ts";
import { Verdict } from "../core/verdict.ts";
import { decodeCountRows } from "../ports/count-rows.ts";
import type { CountRow, CountSink } from "../ports/count-sink.ts";
import type { ShardStores } from "../ports/shard-store.ts";
import { silentLogger } from "../runtime/log.ts";
import { rowsOf, uuidV7, type SimClick } from "../sim/clicks.ts";
import { seededRandom } from "../sim/random.ts";
import { virtualClock } from "../sim/virtual-clock.ts";
import { ShardHost } from "./host.ts";

const SHARD = 3;
const START_MS = 1_760_000_000_000;
const FIRST_SEED = Number(process.env["ADTALLY_SEED"] ?? 1);
const SEEDS = Number(process.env["ADTALLY_SIM_HISTORIES"] ?? 40);
const limits = { ...DEFAULT_LIMITS, dedupRunIds: 64, blockMaxRows: 40, mailboxMaxClicks: 5_000 };

/** Tells of each run that a save replaced by a merged one. */
function watchedStores(onMerge: () => void): ShardStores {
  const stores = memoryShardStores();
  return {
    ...stores,
    open: async (shard) => {
      const store = await stores.open(shard);
      const save = store.save.bind(store);
      store.save = (state) => {
        for (const { replaces } of state.runs) replaces.forEach(onMerge);
        save(state);
      };
      return store;
    },
  };
}

async function simulate(seed: number): Promise<Record<string, number>> {
  const random = seededRandom(seed);
  const clock = virtualClock(START_MS);
  const clicks = createMemoryLog("clicks");
  const deadLetters = createMemoryLog("dead letters");
  const spill = createMemoryLog("spill");
  const sink = createMemoryCountSink();
  const newest = new Map<string, number>();
  /** The sink, as the shard's owners write to it: tells when counts come that are older than what is there. */
  const watched: CountSink = {
    ...sink,
    writeCounts: (rows) => {
      for (const { adId, minute, version } of decodeCountRows(rows)) {
        const known = newest.get(`${adId}@${minute}`) ?? -1;
        if (version < known) fired.olderCounts += 1;
        newest.set(`${adId}@${minute}`, Math.max(known, version));
      }
      return sink.writeCounts(rows);
    },
  };
  const fired = {
    crashes: 0,
    volumesLost: 0,
    merges: 0,
    answerLost: 0,
    appliedTwice: 0,
    unavailable: 0,
    secondOwners: 0,
    clockSteps: 0,
    sinkAnswerLost: 0,
    sinkUnavailable: 0,
    olderCounts: 0,
    spilled: 0,
  };

  // Faults fall on the log from outside the shard, so they hit whichever owner appends next.
  const slowLog = {
    append: async (partition: number, block: Parameters<typeof clicks.append>[1]) => {
      await new Promise<void>((resolve) => void clock.after(random.below(20), resolve));
      const offset = await clicks.append(partition, block);
      await new Promise<void>((resolve) => void clock.after(random.below(20), resolve));
      return offset;
    },
    read: (partition: number, from: number, bytes: number) => clicks.read(partition, from, bytes),
    bounds: (partition: number) => clicks.bounds(partition),
  };
  const startHost = async (
    stores: ShardStores,
    log = slowLog as typeof clicks | typeof slowLog,
    to: CountSink = watched,
  ) => {
    const starting = ShardHost.start({
      shards: [{ shard: SHARD, epoch: 1 }],
      limits,
      clicks: log,
      deadLetters,
      spill,
      stores,
      sink: to,
      clock,
      random: random.bytes,
      logger: silentLogger,
      defer: (run) => void clock.after(0, run),
    });
    await clock.advance(50);
    return starting;
  };

  let stores = watchedStores(() => (fired.merges += 1));
  let host = await startHost(stores);
  let zombie: ShardHost | undefined;
  const sent = new Map<string, SimClick>();
  const known: SimClick[] = [];
  const spilledIds = new Set<string>();
  const told = new Map<string, number[]>();
  const waiting = new Set<Promise<unknown>>();

  const makeClick = (): SimClick => {
    if (known.length > 0 && random.chance(0.25)) {
      const before = random.pick(known);
      return { ...before, clickMs: clock.now(), receivedMs: clock.now() };
    }
    const now = clock.now();
    const late = random.chance(0.03) ? limits.allowedLatenessMs + 1 : 0;
    return {
      id: uuidV7(now - random.below(90 * 60_000), random.bytes(10)),
      adId: 100 + random.below(6),
      clickMs: now - late,
      receivedMs: now,
    };
  };

  let spilledBlocks = 0;
  for (let step = 0; step < 120; step++) {
    if (random.chance(0.1)) {
      const batch = Array.from({ length: 1 + random.below(30) }, makeClick);
      for (const click of batch) {
        sent.set(click.id.toString("hex"), click);
        known.push(click);
        if (click.receivedMs - click.clickMs === 0) spilledIds.add(click.id.toString("hex"));
      }
      const rowCount = batch.length;
      const header = {
        epoch: 0,
        writer: 9,
        sequence: ++spilledBlocks,
        rowCount,
        appendTimeMs: 0,
        sourceOffset: -1,
      };
      await spill.append(SHARD, makeBlock(header, rowsOf(batch, SHARD)));
      fired.spilled += rowCount;
    }
    const owner = zombie !== undefined && random.chance(0.4) ? zombie : host;
    const batch = Array.from({ length: 1 + random.below(70) }, makeClick);
    for (const click of batch) {
      sent.set(click.id.toString("hex"), click);
      known.push(click);
    }
    const submission = owner.submit({ shard: SHARD, rows: rowsOf(batch, SHARD), count: batch.length }).then(
      ({ outcomes }) => {
        batch.forEach((click, i) => {
          const key = click.id.toString("hex");
          told.set(key, [...(told.get(key) ?? []), outcomes[i * 2]!]);
        });
      },
      () => undefined,
    );
    waiting.add(submission);
    const dice = random.next();
    if (dice < 0.08) {
      fired.crashes += 1;
      await host.abandon();
      if (random.chance(0.3)) {
        fired.volumesLost += 1;
        stores = watchedStores(() => (fired.merges += 1));
      }
      host = await startHost(stores);
    } else if (dice < 0.12 && zombie === undefined) {
      fired.secondOwners += 1;
      zombie = await startHost(memoryShardStores());
    } else if (dice < 0.15 && zombie !== undefined) {
      await zombie.abandon();
      zombie = undefined;
    } else if (dice < 0.3) {
      const fault = random.pick<AppendFault>([
        "answer-lost",
        "request-lost",
        "applied-late",
        "unavailable",
        "applied-twice",
      ]);
      clicks.failNext(SHARD, fault);
      if (fault === "answer-lost") fired.answerLost += 1;
      else if (fault === "applied-twice") fired.appliedTwice += 1;
      else fired.unavailable += 1;
    } else if (dice < 0.34) {
      fired.clockSteps += 1;
      clock.stepWall(random.pick([-30_000, 30_000, 120_000]));
    } else if (dice < 0.45) {
      const fault = random.pick<SinkFault>(["answer-lost", "unavailable"]);
      sink.failNext(fault);
      if (fault === "answer-lost") fired.sinkAnswerLost += 1;
      else fired.sinkUnavailable += 1;
    } else if (dice < 0.5) {
      for (const actor of host.actors.values()) actor.save();
    }
    await clock.advance(random.below(400));
  }

  // Heal the world; then everything must settle.
  await zombie?.abandon();
  await clock.advance(30_000);
  await Promise.all(waiting);
  expect(host.faults).toEqual([]);
  // The sink may still have faults to give: the flusher's own backoff outlives them.
  await clock.advance(300_000);

  // The oracle: the log itself, read plainly, each id's first countable row.
  const first = new Map<string, { key: string }>();
  const written = new Set<string>();
  let drainedTo = -1;
  const duplicates = new Map<string, number>();
  const { next } = await clicks.bounds(SHARD);
  for (const record of await clicks.read(SHARD, 0, Number.MAX_SAFE_INTEGER)) {
    const { writer, sequence, sourceOffset } = record.header;
    const drainedBefore = sourceOffset >= 0 && sourceOffset <= drainedTo;
    if (written.has(`${writer}/${sequence}`) || drainedBefore) continue;
    written.add(`${writer}/${sequence}`);
    drainedTo = Math.max(drainedTo, sourceOffset);
    let at = 0;
    for (let row = 0; row < record.header.rowCount; row++) {
      const id = readImpressionId(record.value, at).toString("hex");
      const ad = record.value.readUInt32LE(at + RowAt.adId);
      const key = `${ad}@${minuteOf(readTime(record.value, at + RowAt.clickTime))}`;
      const verdict = record.value[at + RowAt.verdict];
      if (verdict === Verdict.ACCEPTED && !first.has(id)) first.set(id, { key });
      else if (verdict === Verdict.ACCEPTED || verdict === Verdict.DUPLICATE) {
        duplicates.set(key, (duplicates.get(key) ?? 0) + 1);
      }
      at = rowEnd(record.value, at);
    }
  }
  const expected = new Map<string, number>();
  for (const { key } of first.values()) expected.set(key, (expected.get(key) ?? 0) + 1);
  const context = `seed ${seed}`;
  const counted = new Map(sink.counts().map((row) => [`${row.adId}@${row.minute}`, row]));
  for (const [key, row] of counted) {
    expect(row.clicks, `${context}, clicks of ${key}`).toBe(expected.get(key) ?? 0);
    expect(row.duplicates, `${context}, duplicates of ${key}`).toBe(duplicates.get(key) ?? 0);
  }
  for (const key of expected.keys()) expect(counted.has(key), `${context}, ${key} is missing`).toBe(true);
  for (const [id, verdicts] of told) {
    const accepted = verdicts.filter((verdict) => verdict === Verdict.ACCEPTED).length;
    expect(accepted, `${context}, ${id} was told ACCEPTED ${accepted} times`).toBeLessThanOrEqual(1);
    if (accepted === 1)
      expect(first.has(id), `${context}, ${id} was told ACCEPTED and is not counted`).toBe(true);
  }
  for (const id of spilledIds)
    expect(first.has(id), `${context}, ${id} was spilled and is not counted`).toBe(true);
  for (const id of first.keys())
    expect(sent.has(id), `${context}, ${id} was counted and never sent`).toBe(true);
  // I2: a new store and an empty sink, from the log alone, come to the same counts.
  const replayed = createMemoryCountSink();
  const second = await startHost(memoryShardStores(), clicks, replayed);
  const done = second.flushCounts();
  await clock.advance(1_000);
  await done;
  const plain = (from: CountSink & { counts(): readonly CountRow[] }) =>
    from
      .counts()
      .map((row) => `${row.adId}@${row.minute} ${row.clicks} ${row.duplicates}`)
      .sort();
  expect(plain(replayed), context).toEqual(plain(sink));
  await host.abandon();
  await second.abandon();
  return { ...fired, sent: sent.size, counted: first.size, offsets: next };
}

const CONTEXT = `${SEEDS} histories from seed ${FIRST_SEED}`;

describe(`in ${CONTEXT} every click told ACCEPTED is counted once, nothing else is, and a replay agrees`, () => {
  const sums: Record<string, number> = {};
  beforeAll(async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const figures = await simulate(seed);
      for (const [name, value] of Object.entries(figures)) sums[name] = (sums[name] ?? 0) + value;
    }
    console.log("simulated", JSON.stringify(sums));
  }, 120_000);

  /** All faults fall into each history; that each one fired is looked at one by one (I5). */
  const fired = (...names: readonly string[]) => {
    expect(Object.keys(sums)).toEqual(expect.arrayContaining([...names]));
    for (const name of names) expect(sums[name], `${name} never fired`).toBeGreaterThan(0);
  };

  test("clicks were sent and counted", () => fired("sent", "counted", "offsets"));
  test.runIf(SEEDS > 1)("fault 1: the owner dies at any moment, with its volume or without", () =>
    fired("crashes", "volumesLost"),
  );
  test.runIf(SEEDS > 1)("small runs of ids were merged between crashes", () => fired("merges"));
  test.runIf(SEEDS > 1)("fault 3: two owners decide at once, over and over", () => fired("secondOwners"));
  test.runIf(SEEDS > 1)(
    "fault 5: the log applies an append and the answer is lost, or applies it twice",
    () => fired("answerLost", "appliedTwice"),
  );
  test.runIf(SEEDS > 1)("fault 7: the log refuses appends, while clicks come by the spill", () =>
    fired("unavailable", "spilled"),
  );
  test.runIf(SEEDS > 1)("fault 9: the count sink commits and the answer is lost, or it refuses", () =>
    fired("sinkAnswerLost", "sinkUnavailable"),
  );
  test.runIf(SEEDS > 1)("fault 11: a second owner's older counts come after newer ones", () =>
    fired("olderCounts"),
  );
  test.runIf(SEEDS > 1)("fault 15: the clock steps, by seconds and by minutes", () => fired("clockSteps"));
});
