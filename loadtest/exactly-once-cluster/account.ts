/** The account that is taken of a cluster once all has settled: what it holds against what clients were told. */
import type { ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import type { KafkaLog } from "../../actors/adapters/kafka/kafka-log.ts";
import type { SeededRandom } from "../../actors/sim/random.ts";
import { deadLetterFaults, explainFaults } from "../exactly-once/ask.ts";
import { differences, factsOf } from "../exactly-once/oracle.ts";
import { figuresOf } from "../exactly-once/run.ts";
import type { SentClick } from "../exactly-once/send.ts";
import { readCounts, readRaw, type CountRow } from "../lib/tables.ts";
import type { Invariant } from "./invariants.ts";
import { repeatedBlocks } from "./repeats.ts";
import { untilSettled, type Watched } from "./state.ts";

export const SETTLE_DEADLINE_MS = 180_000;

export interface Account {
  readonly figures: Readonly<Record<string, number>>;
  readonly settledMs: number;
  readonly counts: readonly CountRow[];
  readonly invariant: Invariant;
}

export interface Accountable {
  readonly watched: Watched;
  readonly queryUrl: string;
  readonly log: KafkaLog;
  readonly clickhouse: ClickHouse;
}

/** Once all has settled: I1, against the clients' own record. */
export async function takeAccount(
  { watched, queryUrl, log, clickhouse }: Accountable,
  all: readonly SentClick[],
  explained: number,
  random: SeededRandom,
): Promise<Account> {
  const settledMs = await untilSettled(watched, log, clickhouse, SETTLE_DEADLINE_MS);
  const [counts, raw] = [await readCounts(clickhouse), await readRaw(clickhouse)];
  const repeats = await repeatedBlocks(log.topic("clicks"), watched.shards);
  const facts = factsOf(raw, ({ shard, offset }) => repeats.get(shard)!.has(Number(offset)));
  const explain = await explainFaults(queryUrl, all, facts, explained, random);
  const dead = await deadLetterFaults(queryUrl, all);
  const sum = (of: (row: CountRow) => number) => counts.reduce((total, row) => total + of(row), 0);
  const spill = Array.from({ length: watched.shards }, (_, shard) => log.topic("clicks-spill").bounds(shard));
  return {
    counts,
    figures: {
      ...figuresOf(
        all,
        sum(({ clicks }) => clicks),
      ),
      "duplicates refused": sum(({ duplicates }) => duplicates),
      "blocks spilled": (await Promise.all(spill)).reduce((total, { next }) => total + next, 0),
      "raw rows": raw.length,
      "blocks that the log has twice": [...repeats.values()].reduce((total, { size }) => total + size, 0),
      "dead-lettered": dead.letters,
      "clicks explained": explain.asked,
      "ms until all was settled": Math.round(settledMs),
    },
    settledMs,
    invariant: {
      name: "I1",
      checked: `${all.length} impressions of the clients' record against ${counts.length} count rows, ${raw.length} raw rows, ${dead.letters} dead letters, ${explain.asked} explanations`,
      faults: [...differences(all, counts, facts), ...explain.faults, ...dead.faults],
    },
  };
}
