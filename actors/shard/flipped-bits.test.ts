/**
 * Fault 12: flipped bits in the write-ahead log and in the table files of a shard's store. Real
 * files of a real RocksDB; each round flips bits in one place, starts the shard on it, and sends
 * every click again. What is damaged is found, at the open or at a read, and made again from the
 * log: the same counts, no repeat accepted.
 *
 * `ADTALLY_SEED=…` repeats a run.
 */
import { randomInt } from "node:crypto";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createMemoryCountSink } from "../adapters/memory/memory-count-sink.ts";
import type { MemoryLog } from "../adapters/memory/memory-log.ts";
import { rocksShardStores } from "../adapters/rocksdb/shard-store.ts";
import { Verdict } from "../core/verdict.ts";
import type { ShardStores } from "../ports/shard-store.ts";
import { rowsOf, uuidV7, type SimClick } from "../sim/clicks.ts";
import { seededRandom } from "../sim/random.ts";
import { virtualClock } from "../sim/virtual-clock.ts";
import { click, SHARD, shardIn, START_MS } from "./shard.fixture.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";

const seed = Number(process.env["ADTALLY_SEED"] ?? randomInt(2 ** 31));
const random = seededRandom(seed);
const ROUNDS = 4;
const SAVES = 12;
const BATCH = 60;
/** The end of every table file: checksum, where its blocks of blocks stand, version, magic. */
const FOOTER_BYTES = 53;
const limits = { dedupRunIds: BATCH };

let dir: string;
let clicks: MemoryLog;
const sent: SimClick[] = [];

/** A store that has table files (a start writes them from what the log of the last life held) and a log. */
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "adtally-flipped-"));
  const stores = rocksShardStores(join(dir, "whole"));
  let world: Parameters<typeof shardIn>[0] = { stores, limits };
  for (let life = 0; life < 3; life++) {
    const shard = await shardIn(world);
    for (let save = 0; save < SAVES; save++) {
      const batch = Array.from({ length: BATCH }, () => {
        const id = uuidV7(START_MS - random.below(3) * DEFAULT_LIMITS.dedupSliceMs, random.bytes(10));
        return click({ id, adId: 1 + random.below(20) });
      });
      await shard.verdicts(batch);
      sent.push(...batch);
      shard.host.actors.get(SHARD)!.save();
    }
    await shard.host.abandon();
    clicks = shard.clicks;
    world = { ...shard, limits };
  }
});
afterAll(() => rm(dir, { recursive: true, force: true }));

type Place = (bytes: Buffer) => readonly [from: number, to: number];

/** Where a table's blocks end and its properties, its index and its filters begin. */
function metaStart(bytes: Buffer): number {
  const properties = bytes.indexOf("rocksdb.");
  expect(properties, "a table file without properties").toBeGreaterThan(0);
  return properties;
}
const places: Readonly<Record<string, { readonly suffix: string; readonly place: Place }>> = {
  "the write-ahead log": { suffix: ".log", place: (bytes) => [0, bytes.length] },
  "a table's data blocks": { suffix: ".sst", place: (bytes) => [0, metaStart(bytes) - 4_096] },
  "a table's index and properties": {
    suffix: ".sst",
    place: (bytes) => [metaStart(bytes), bytes.length - FOOTER_BYTES],
  },
  "a table's footer": {
    suffix: ".sst",
    place: (bytes) => [bytes.length - FOOTER_BYTES, bytes.length],
  },
  "the list of tables": { suffix: "MANIFEST", place: (bytes) => [0, bytes.length] },
};

async function flip(folder: string, what: string): Promise<string> {
  const { suffix, place } = places[what]!;
  const names = (await readdir(folder)).filter((name) => name.includes(suffix));
  const file = join(folder, random.pick(names));
  const bytes = await readFile(file);
  const [from, to] = place(bytes);
  expect(to - from, `${file} has nothing to damage`).toBeGreaterThan(0);
  const at = from + random.below(to - from);
  bytes[at]! ^= 1 << random.below(8);
  await writeFile(file, bytes);
  return `seed ${seed}: bit flipped at ${at} of ${bytes.length} of ${file}`;
}

/** What came of one damaged store: was it wiped, or was a shorter prefix of its saves taken up? */
async function recovered(state: string, context: string): Promise<"wiped" | "shorter" | "untouched"> {
  const real = rocksShardStores(state);
  let wiped = 0;
  const stores: ShardStores = {
    open: (shard) => real.open(shard),
    destroy: async (shard) => {
      wiped += 1;
      await real.destroy(shard);
    },
  };
  const sink = createMemoryCountSink();
  const clock = virtualClock(START_MS);
  const { host, state: begun } = await shardIn({ clicks, stores, sink, clock, limits });
  const replayed = begun.stats.blocks;
  const before = (await clicks.bounds(SHARD)).next;
  const told: (number | undefined)[] = [];
  for (let at = 0; at < sent.length; at += BATCH) {
    const batch = sent.slice(at, at + BATCH);
    told.push(...(await submitted(host, clock, batch)));
  }
  expect(new Set(told), context).toEqual(new Set([Verdict.DUPLICATE]));
  expect(host.faults, context).toEqual([]);
  const flushing = host.flushCounts();
  await clock.advance(1_000);
  await flushing;
  const total = (of: "clicks" | "duplicates") => sink.counts().reduce((sum, row) => sum + row[of], 0);
  expect(total("clicks"), context).toBe(sent.length);
  expect(before, context).toBeLessThanOrEqual((await clicks.bounds(SHARD)).next);
  await host.abandon();
  if (wiped > 0) return "wiped";
  return replayed > 0 ? "shorter" : "untouched";
}

type Host = Awaited<ReturnType<typeof shardIn>>["host"];

/** Submits until it is answered: a shard that found damage is away until it is made again. */
async function submitted(host: Host, clock: ReturnType<typeof virtualClock>, batch: readonly SimClick[]) {
  const rows = rowsOf(batch, SHARD);
  for (let attempt = 0; attempt < 200; attempt++) {
    const answering = host.submit({ shard: SHARD, rows, count: batch.length }).catch(() => undefined);
    await clock.advance(50);
    const answer = await answering;
    if (answer !== undefined) return batch.map((_, i) => answer.outcomes[i * 2]);
    // The store is closed, wiped and opened by real files, while the clock stands.
    await sleep(10);
    await clock.advance(1_000);
  }
  throw new Error(`never answered: ${host.faults.join("; ")}`);
}

describe(`flipped bits, seed ${seed}`, () => {
  test("fault 12: an undamaged store is taken up as it is", async () => {
    const state = join(dir, "as-it-is");
    await cp(join(dir, "whole"), state, { recursive: true });
    expect(await recovered(state, "nothing flipped")).toBe("untouched");
  });

  test.each(Object.keys(places))(
    "fault 12: bits flipped in %s are found, and the state is made again from the log",
    async (what) => {
      const found: string[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const state = join(dir, `${what.replaceAll(/\W/g, "-")}-${round}`);
        await cp(join(dir, "whole"), state, { recursive: true });
        const context = await flip(join(state, `shard-${SHARD}`), what);
        found.push(await recovered(state, context));
        await rm(state, { recursive: true });
      }
      // A bit that nothing reads does no harm; that all of them were such would prove nothing.
      expect(new Set(found), `seed ${seed}: ${found.join(", ")}`).not.toEqual(new Set(["untouched"]));
    },
    60_000,
  );
});
