/**
 * Carries the log's blocks into clicks_raw, unchanged (embedded form; on a cluster ClickHouse's
 * Kafka engine does this). It shares nothing with the actors: this is the second counting.
 *
 *  R1 Blocks of a shard go in by their order, none left out but quarantined ones.
 *  R2 Progress is recorded after its rows; a crash in between sends them again, which the
 *     table's order key makes a no-op.
 *  R3 A damaged or unknown block is quarantined: logged with its place, counted, passed over.
 *  R4 An offset that retention took is an alarm: that shard stops, by name; others go on.
 *  R5 One insert at a time, of at most rawIngestMaxBytes; failures back off.
 *  R6 After a failure the table says where to go on: one that was dropped and made anew meanwhile,
 *     or restored from an old copy, gets what it lacks.
 */
import type { LogRecord } from "../../block/block.ts";
import { ROW_COLUMNS } from "../../block/row.ts";
import { AdtallyError, isAdtallyError, messageOf } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { ClickLog } from "../../ports/click-log.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";
import { cutBatch, type ShardBatch } from "./raw-batch.ts";

export interface RawIngester {
  /** Offset of each shard that the next insert begins with: all before it are in the table. */
  progress(): ReadonlyMap<number, number>;
  /** Blocks passed over because they were damaged or unknown. */
  quarantined(): number;
  /** Shards that stopped (R4), with the reason. */
  halted(): ReadonlyMap<number, string>;
  /** Ingests all that the log holds now, in whatever time it takes. */
  drain(): Promise<void>;
  /** Ends the loop after the insert under way. */
  stop(): Promise<void>;
}

export interface RawIngesterOptions {
  readonly log: ClickLog;
  readonly clickhouse: ClickHouse;
  readonly shards: readonly number[];
  readonly limits: Pick<Limits, "rawIngestIntervalMs" | "rawIngestMaxBytes">;
  readonly clock: Clock;
  readonly logger: Logger;
}

const BACKOFF_LAST_MS = 10_000;

const columns = ROW_COLUMNS.map(([name]) => name).join(", ");
const structure = ROW_COLUMNS.map(([name, type]) => `${name} ${type.replaceAll("'", "\\'")}`).join(", ");
// A shard's delta may be negative: the sum is taken signed.
const INSERT_ROWS =
  `INSERT INTO ${DATABASE}.clicks_raw (${columns}, offset) ` +
  `SELECT ${columns}, toUInt64(toInt64(sequence) + transform(shard, {shards:Array(UInt16)}, {deltas:Array(Int64)}, toInt64(0))) AS offset ` +
  `FROM input('${structure}') FORMAT RowBinary`;
// Rows of one insert are never equal, so looking for equal ones (half its CPU time) finds nothing;
// RowBinary is read by one thread, and more behind it cost more than they bring.
const INSERT_SETTINGS = { optimize_on_insert: 0, max_threads: 1 };
const INSERT_PROGRESS = `INSERT INTO ${DATABASE}.raw_ingest_progress (shard, next_offset) FORMAT RowBinary`;
const PROGRESS_BYTES = 10;

interface Gathered {
  /** Absent where all that was read was quarantined. */
  readonly batch: ShardBatch | undefined;
  readonly nextOffset: number;
  readonly hasMore: boolean;
}

/** The offset that the next insert begins with, of each shard that the table has seen. */
export async function readRawProgress(clickhouse: ClickHouse): Promise<Map<number, number>> {
  const rows = await clickhouse.rows<{ shard: number; next: string }>(
    `SELECT shard, max(next_offset) AS next FROM ${DATABASE}.raw_ingest_progress GROUP BY shard`,
  );
  return new Map(rows.map((row) => [row.shard, Number(row.next)]));
}

async function writeProgress(clickhouse: ClickHouse, moved: ReadonlyMap<number, number>): Promise<void> {
  const bytes = Buffer.allocUnsafe(moved.size * PROGRESS_BYTES);
  let at = 0;
  for (const [shard, next] of moved) {
    at = bytes.writeUInt16LE(shard, at);
    at = bytes.writeBigUInt64LE(BigInt(next), at);
  }
  await clickhouse.insertBytes(INSERT_PROGRESS, [bytes]);
}

/** Resumes where the table says; begins a shard that it has never seen at the log's earliest block. */
export async function startRawIngester(options: RawIngesterOptions): Promise<RawIngester> {
  const { log, clickhouse, shards, limits, clock, logger } = options;
  const progress = new Map<number, number>();
  const halted = new Map<number, string>();
  let quarantined = 0;
  let stopped = false;
  let underWay: Promise<boolean> | undefined;

  let isTableDoubtful = false;

  async function meetTable(): Promise<void> {
    const known = await readRawProgress(clickhouse);
    for (const shard of shards) {
      const next = known.get(shard) ?? (await log.bounds(shard)).earliest;
      const sent = progress.get(shard) ?? next;
      // One insert more may have been sent than is recorded (R2).
      if (next < sent)
        logger.warn({ partition: shard, next, sent }, "raw ingest: sent again from what is recorded");
      progress.set(shard, next);
    }
  }
  await meetTable();

  function quarantine(shard: number, offset: number, why: string): void {
    quarantined += 1;
    logger.error({ partition: shard, offset, why }, "raw ingest: block quarantined, not in clicks_raw");
  }

  function halt(shard: number, why: string): void {
    halted.set(shard, why);
    logger.error(
      { partition: shard, why },
      "raw ingest: shard halted; the raw table lacks what retention took",
    );
  }

  /** Records from `from` on; stops before a damaged one, which comes out only when it is the first. */
  async function readIntact(shard: number, from: number, maxBytes: number): Promise<readonly LogRecord[]> {
    try {
      return await log.read(shard, from, maxBytes);
    } catch (error) {
      if (!isAdtallyError(error, "LOG_CORRUPT")) throw error;
      const intact: LogRecord[] = [];
      for (let bytes = 0; bytes < maxBytes;) {
        const [record] = await log.read(shard, from + intact.length, 1).catch((again: unknown) => {
          if (isAdtallyError(again, "LOG_CORRUPT") && intact.length > 0) return [];
          throw again;
        });
        if (record === undefined) break;
        intact.push(record);
        bytes += record.value.length;
      }
      return intact;
    }
  }

  function take(shard: number, records: readonly LogRecord[], hasMore: boolean): Gathered {
    const { batch, poison, nextOffset } = cutBatch(shard, records);
    for (const { offset, why } of poison) quarantine(shard, offset, why);
    return { batch, nextOffset, hasMore: hasMore || nextOffset <= records.at(-1)!.offset };
  }

  /** What is next of one shard; undefined when it is at the end, or halted. */
  async function gather(shard: number, maxBytes: number): Promise<Gathered | undefined> {
    const from = progress.get(shard)!;
    try {
      const records = await readIntact(shard, from, maxBytes);
      if (records.length === 0) return undefined;
      const bytes = records.reduce((sum, { value }) => sum + value.length, 0);
      return take(shard, records, bytes >= maxBytes);
    } catch (error) {
      if (isAdtallyError(error, "LOG_CORRUPT")) {
        quarantine(shard, from, messageOf(error));
        return { batch: undefined, nextOffset: from + 1, hasMore: true };
      }
      if (isAdtallyError(error, "OFFSET_OUT_OF_RANGE")) {
        halt(shard, messageOf(error));
        return undefined;
      }
      throw error;
    }
  }

  /** What is next of all shards, in one go where the log can do that. */
  async function gatherAll(live: readonly number[]): Promise<ReadonlyMap<number, Gathered>> {
    const gathered = new Map<number, Gathered>();
    try {
      const from = new Map(live.map((shard) => [shard, progress.get(shard)!]));
      const found = await log.readMany?.(from, limits.rawIngestMaxBytes);
      for (const [shard, records] of found?.records ?? [])
        gathered.set(shard, take(shard, records, found?.isAll === false));
      if (found !== undefined) return gathered;
    } catch (error) {
      // Whose it is, and up to where its shard can be read, is found one by one.
      if (!isAdtallyError(error, "LOG_CORRUPT") && !isAdtallyError(error, "OFFSET_OUT_OF_RANGE")) throw error;
    }
    const share = Math.max(1, Math.floor(limits.rawIngestMaxBytes / live.length));
    for (const shard of live) {
      const next = await gather(shard, share);
      if (next !== undefined) gathered.set(shard, next);
    }
    return gathered;
  }

  /** One insert over all shards; true when there is more than it could take. */
  async function ingestOnce(): Promise<boolean> {
    const live = shards.filter((shard) => !halted.has(shard));
    if (live.length === 0) return false;
    const batches: ShardBatch[] = [];
    const moved = new Map<number, number>();
    let hasMore = false;
    for (const [shard, gathered] of await gatherAll(live)) {
      moved.set(shard, gathered.nextOffset);
      hasMore ||= gathered.hasMore;
      if (gathered.batch !== undefined) batches.push(gathered.batch);
    }
    if (moved.size === 0) return false;
    if (batches.length > 0)
      await clickhouse.insertBytes(
        INSERT_ROWS,
        batches.flatMap(({ values }) => values),
        {
          parameters: {
            shards: batches.map(({ shard }) => shard),
            deltas: batches.map(({ delta }) => delta),
          },
          settings: INSERT_SETTINGS,
        },
      );
    // R2: in memory at once, so that a failed record of it does not send the rows again.
    for (const [shard, next] of moved) progress.set(shard, next);
    await writeProgress(clickhouse, moved);
    return hasMore;
  }

  /** One at a time, whoever asks (R5). */
  async function step(): Promise<boolean> {
    while (underWay !== undefined) await underWay.catch(() => undefined);
    underWay = isTableDoubtful ? meetTable().then(ingestOnce) : ingestOnce();
    try {
      const hasMore = await underWay;
      isTableDoubtful = false;
      return hasMore;
    } catch (error) {
      isTableDoubtful = true;
      throw error;
    } finally {
      underWay = undefined;
    }
  }

  let wake: (() => void) | undefined;
  function pause(delayMs: number): Promise<void> {
    if (stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = clock.after(delayMs, resolve);
      wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  async function loop(): Promise<void> {
    let backoffMs = limits.rawIngestIntervalMs;
    let isBehind = false;
    for (;;) {
      if (!isBehind) await pause(backoffMs);
      if (stopped) return;
      try {
        isBehind = await step();
        backoffMs = limits.rawIngestIntervalMs;
      } catch (error) {
        isBehind = false;
        backoffMs = Math.min(backoffMs * 2, BACKOFF_LAST_MS);
        logger.warn({ error: messageOf(error), retryInMs: backoffMs }, "raw ingest failed; trying again");
      }
    }
  }
  const looping = loop();

  return {
    progress: () => progress,
    quarantined: () => quarantined,
    halted: () => halted,
    async drain() {
      if (stopped) throw new AdtallyError("ABORTED", "the raw ingester has stopped");
      const targets = new Map<number, number>();
      for (const shard of shards) targets.set(shard, (await log.bounds(shard)).next);
      const isDue = ([shard, next]: [number, number]) => !halted.has(shard) && progress.get(shard)! < next;
      while ([...targets].some(isDue)) await step();
    },
    async stop() {
      stopped = true;
      wake?.();
      await looping;
      await underWay?.catch(() => undefined);
    },
  };
}
