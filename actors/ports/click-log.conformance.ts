/**
 * What every ClickLog adapter must do: L1 to L6 of click-log.ts, under faults. An adapter's test
 * calls `describeClickLog` with a harness; a fault that the adapter has no hook for is skipped,
 * and the test's name says so.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Block, LogRecord } from "../block/block.ts";
import { isAdtallyError, messageOf, type ErrorCode } from "../core/errors.ts";
import { sampleBlock } from "./click-log.sample.ts";
import type { ClickLog, ClickTopic } from "./click-log.ts";

export interface LogHarness {
  /** The log under test as it stands now; asked for again after each reopening. */
  topic(name: ClickTopic): ClickLog;
  close(): Promise<void>;
  /** Ends the log and opens it over the same data; rejects with what the opening rejects with. */
  reopen?(): Promise<void>;
  /** Leaves half a write behind the last resolved append, as a crash does, and reopens. */
  tearTail?(): Promise<void>;
  /** Waits until the log has done what it does when idle. */
  settle?(): Promise<void>;
  /** Damages one record's value where it is kept, and reopens if that is needed to see it. */
  flipBit?(topic: ClickTopic, partition: number, offset: number): Promise<void>;
  /** Retention: drops the partition's records before `offset`, or at least some and none behind. */
  dropOldest?(topic: ClickTopic, partition: number, offset: number): Promise<void>;
  /** The next append is applied, but its answer is lost. */
  loseAnswer?(topic: ClickTopic, partition: number): void;
}

export interface HarnessFactory {
  /** Which hooks the harness brings: the suite is laid out before one is made. */
  readonly hooks: readonly (keyof LogHarness)[];
  /** The highest partition that there is: 11 or more; 4,095 where nothing else is said. */
  readonly lastPartition?: number;
  make(): Promise<LogHarness>;
}

const TOPICS: readonly ClickTopic[] = ["clicks", "clicks-spill", "clicks-dead-letter"];
const ALL = Number.MAX_SAFE_INTEGER;

export function expectRecord(record: LogRecord | undefined, offset: number, block: Block): void {
  expect(record?.offset).toBe(offset);
  expect(record?.header).toEqual(block.header);
  expect(record?.value.equals(block.value)).toBe(true);
}

export async function codeOf(work: Promise<unknown>): Promise<ErrorCode | "resolved"> {
  try {
    await work;
    return "resolved";
  } catch (error) {
    if (isAdtallyError(error)) return error.code;
    throw error;
  }
}

/** Reads a partition from `from` to its end in reads of `maxBytes`, L4 checked on the way. */
export async function readAll(
  log: ClickLog,
  partition: number,
  from = 0,
  maxBytes = ALL,
): Promise<LogRecord[]> {
  const found: LogRecord[] = [];
  for (;;) {
    const records = await log.read(partition, from + found.length, maxBytes);
    if (records.length === 0) return found;
    for (const record of records) {
      expect(record.offset).toBe(from + found.length);
      found.push(record);
    }
  }
}

export function describeClickLog(name: string, factory: HarnessFactory): void {
  const lacking = (hook: keyof LogHarness): boolean => !factory.hooks.includes(hook);
  const titled = (title: string, hook: keyof LogHarness): string =>
    lacking(hook) ? `${title} (skipped: this adapter has no ${hook} hook)` : title;

  describe(`${name} is a ClickLog`, () => {
    let harness: LogHarness;
    beforeEach(async () => {
      harness = await factory.make();
    });
    afterEach(() => harness.close());

    async function fill(
      topic: ClickTopic,
      partition: number,
      count: number,
      valueBytes = 150,
    ): Promise<Block[]> {
      const blocks = Array.from({ length: count }, (_, i) => sampleBlock(i + 1, valueBytes));
      for (const block of blocks) await harness.topic(topic).append(partition, block);
      return blocks;
    }

    it("L1, L2: gives offsets 0, 1, 2 … and reads every block back unchanged", async () => {
      const blocks = await fill("clicks", 0, 20);
      const records = await readAll(harness.topic("clicks"), 0);
      expect(records).toHaveLength(20);
      blocks.forEach((block, i) => expectRecord(records[i], i, block));
    });

    it("L1: keeps what it was given when the caller uses the buffer again", async () => {
      const block = sampleBlock(1);
      const kept = Buffer.from(block.value);
      await harness.topic("clicks").append(0, block);
      block.value.fill(0);
      expect((await readAll(harness.topic("clicks"), 0))[0]?.value.equals(kept)).toBe(true);
    });

    it("L1: keeps values of any size from none to the largest block", async () => {
      const log = harness.topic("clicks");
      const sizes = [0, 1, 4_095, 16_384, 131_072, 960 * 1024];
      const blocks = sizes.map((size, i) => sampleBlock(i + 1, size));
      for (const block of blocks) await log.append(1, block);
      const records = await readAll(log, 1);
      blocks.forEach((block, i) => expectRecord(records[i], i, block));
    });

    it("L4, L5: many partitions read at once are what they are one by one", async (context) => {
      const log = harness.topic("clicks");
      if (log.readMany === undefined) return context.skip();
      const partitions = [0, 1, 2, 5];
      for (let sequence = 1; sequence <= 24; sequence++)
        for (const partition of partitions)
          if (sequence % (partition + 1) === 0) {
            await log.append(partition, sampleBlock(sequence, 40 * partition));
            if (partition === 1) await harness.topic("clicks-spill").append(1, sampleBlock(sequence));
          }
      for (const maxBytes of [1, 400, ALL]) {
        const from = new Map([...partitions, 9].map((partition) => [partition, 0]));
        from.set(0, 7);
        const found = new Map<number, LogRecord[]>();
        for (let isAll = false; !isAll;) {
          const many = await log.readMany(from, maxBytes);
          for (const [partition, records] of many.records) {
            found.set(partition, [...(found.get(partition) ?? []), ...records]);
            from.set(partition, from.get(partition)! + records.length);
          }
          isAll = many.isAll || many.records.size === 0;
        }
        for (const partition of partitions)
          expect(found.get(partition)).toEqual(await readAll(log, partition, partition === 0 ? 7 : 0));
        expect(found.has(9)).toBe(false);
      }
      expect(
        await codeOf(
          log.readMany(
            new Map([
              [0, 0],
              [1, 13],
            ]),
            ALL,
          ),
        ),
      ).toBe("OFFSET_OUT_OF_RANGE");
    });

    it("L2: keeps topics and partitions apart, all appended to at once", async () => {
      const count = 40;
      const places = TOPICS.flatMap((topic) =>
        [0, 1, 7, factory.lastPartition ?? 4_095].map((partition) => ({ topic, partition })),
      );
      await Promise.all(
        places.map(async ({ topic, partition }, p) => {
          const offsets = await Promise.all(
            Array.from({ length: count }, (_, i) =>
              harness.topic(topic).append(partition, sampleBlock(p * count + i + 1)),
            ),
          );
          expect(offsets).toEqual(Array.from({ length: count }, (_, i) => i));
        }),
      );
      for (const [p, { topic, partition }] of places.entries()) {
        const records = await readAll(harness.topic(topic), partition, 0, 1_000);
        expect(records).toHaveLength(count);
        records.forEach((record, i) => expectRecord(record, i, sampleBlock(p * count + i + 1)));
      }
    });

    it("L1: what a resolved append wrote is read at once, while others append", async () => {
      const log = harness.topic("clicks");
      await Promise.all(
        [0, 1, 2, 3].map(async (partition) => {
          for (let i = 0; i < 25; i++) {
            const block = sampleBlock(partition * 100 + i + 1);
            const offset = await log.append(partition, block);
            expectRecord((await log.read(partition, offset, ALL))[0], i, block);
          }
        }),
      );
    });

    it("L4: a read begins at any offset, and is bounded by maxBytes but never empty before the end", async () => {
      const blocks = await fill("clicks", 2, 30, 1_000);
      const log = harness.topic("clicks");
      for (const from of [0, 1, 13, 29]) expectRecord((await log.read(2, from, ALL))[0], from, blocks[from]!);
      expect(await log.read(2, 4, 1)).toHaveLength(1);
      expect(await log.read(2, 4, 2_500)).toHaveLength(3);
      expect(await log.read(2, 30, ALL)).toEqual([]);
    });

    it("L5: bounds of an empty partition are 0 and 0, and reading there is empty", async () => {
      expect(await harness.topic("clicks").bounds(9)).toEqual({ earliest: 0, next: 0 });
      expect(await harness.topic("clicks").read(9, 0, ALL)).toEqual([]);
    });

    it("L5: an offset before 0 or past the end is OFFSET_OUT_OF_RANGE", async () => {
      await fill("clicks", 0, 3);
      const log = harness.topic("clicks");
      expect(await log.bounds(0)).toEqual({ earliest: 0, next: 3 });
      expect(await codeOf(log.read(0, 4, ALL))).toBe("OFFSET_OUT_OF_RANGE");
      expect(await codeOf(log.read(0, -1, ALL))).toBe("OFFSET_OUT_OF_RANGE");
      expect(await codeOf(log.read(0, Number.NaN, ALL))).toBe("OFFSET_OUT_OF_RANGE");
      expect(await codeOf(log.read(5, 1, ALL))).toBe("OFFSET_OUT_OF_RANGE");
    });

    it("a repeated append of one block is kept twice, at two offsets: the fold absorbs it", async () => {
      const log = harness.topic("clicks");
      const block = sampleBlock(1);
      expect(await log.append(0, block)).toBe(0);
      expect(await log.append(0, block)).toBe(1);
      const records = await readAll(log, 0);
      expectRecord(records[0], 0, block);
      expectRecord(records[1], 1, block);
    });

    it.skipIf(lacking("loseAnswer"))(
      titled(
        "L3: an append whose answer is lost is found by reading, and the next one follows it",
        "loseAnswer",
      ),
      async () => {
        await fill("clicks", 0, 2);
        harness.loseAnswer!("clicks", 0);
        const lost = sampleBlock(3);
        expect(await codeOf(harness.topic("clicks").append(0, lost))).toBe("APPEND_UNKNOWN");
        const isServing = (await codeOf(harness.topic("clicks").bounds(0))) === "resolved";
        if (!isServing) await harness.reopen!();
        const log = harness.topic("clicks");
        expectRecord((await log.read(0, 2, ALL))[0], 2, lost);
        expect(await log.append(0, lost)).toBe(3);
        expect(await readAll(log, 0)).toHaveLength(4);
      },
    );

    it.skipIf(lacking("reopen"))(
      titled("L1, L2, L6: a restart keeps every block, and offsets go on", "reopen"),
      async () => {
        for (let round = 0; round < 3; round++) {
          for (let i = 0; i < 10; i++) {
            const offset = round * 10 + i;
            expect(await harness.topic("clicks").append(0, sampleBlock(offset + 1))).toBe(offset);
          }
          await harness.topic("clicks-spill").append(3, sampleBlock(round + 1));
          await harness.reopen!();
        }
        const records = await readAll(harness.topic("clicks"), 0);
        expect(records).toHaveLength(30);
        records.forEach((record, i) => expectRecord(record, i, sampleBlock(i + 1)));
        expect(await harness.topic("clicks-spill").bounds(3)).toEqual({ earliest: 0, next: 3 });
      },
    );

    it.skipIf(lacking("tearTail"))(
      titled("L6: a torn write at the tail loses no resolved append, again and again", "tearTail"),
      async () => {
        for (let round = 0; round < 5; round++) {
          expect(await harness.topic("clicks").append(0, sampleBlock(round + 1))).toBe(round);
          await harness.tearTail!();
        }
        const records = await readAll(harness.topic("clicks"), 0);
        expect(records).toHaveLength(5);
        records.forEach((record, i) => expectRecord(record, i, sampleBlock(i + 1)));
      },
    );

    /** L4: the damage is named at the opening or at the read; all before it is right; nothing is skipped. */
    async function expectDamageNamed(offset: number, count: number): Promise<void> {
      let message: string;
      try {
        await harness.flipBit!("clicks", 1, offset);
        const log = harness.topic("clicks");
        expect((await log.bounds(1)).next).toBe(count);
        for (let i = 0; i < offset; i++) expectRecord((await log.read(1, i, 1))[0], i, sampleBlock(i + 1));
        expect(await codeOf(readAll(log, 1))).toBe("LOG_CORRUPT");
        if (log.readMany !== undefined) {
          const from = new Map([[1, offset]]);
          expect(await codeOf(log.readMany(from, ALL))).toBe("LOG_CORRUPT");
        }
        await log.read(1, offset, 1);
        message = "resolved";
      } catch (error) {
        if (!isAdtallyError(error, "LOG_CORRUPT")) throw error;
        message = messageOf(error);
      }
      expect(message).toContain(`partition 1`);
      expect(message).toMatch(new RegExp(`offset ${offset}\\b`));
    }

    it.skipIf(lacking("flipBit"))(
      titled("L4: a flipped bit in the middle is LOG_CORRUPT with its place", "flipBit"),
      async () => {
        await fill("clicks", 1, 12);
        await expectDamageNamed(5, 12);
      },
    );

    it.skipIf(lacking("flipBit"))(
      titled("L4: a flipped bit in the last acknowledged append is no torn write", "flipBit"),
      async () => {
        await fill("clicks", 1, 12);
        await harness.settle?.();
        await expectDamageNamed(11, 12);
      },
    );

    it.skipIf(lacking("dropOldest"))(
      titled(
        "L5: an offset gone by retention is OFFSET_OUT_OF_RANGE, and what is kept is read",
        "dropOldest",
      ),
      async () => {
        await fill("clicks", 0, 10);
        await harness.dropOldest!("clicks", 0, 6);
        const log = harness.topic("clicks");
        const { earliest, next } = await log.bounds(0);
        expect(next).toBe(10);
        expect(earliest).toBeGreaterThan(0);
        expect(earliest).toBeLessThanOrEqual(6);
        expect(await codeOf(log.read(0, earliest - 1, ALL))).toBe("OFFSET_OUT_OF_RANGE");
        const records = await readAll(log, 0, earliest);
        expect(records).toHaveLength(10 - earliest);
        records.forEach((record, i) => expectRecord(record, earliest + i, sampleBlock(earliest + i + 1)));
      },
    );

    it.skipIf(lacking("dropOldest"))(
      titled("L2: offsets go on rising when retention has dropped every record", "dropOldest"),
      async () => {
        await fill("clicks-dead-letter", 3, 4);
        await harness.dropOldest!("clicks-dead-letter", 3, 4);
        await harness.reopen?.();
        const log = harness.topic("clicks-dead-letter");
        expect(await log.bounds(3)).toEqual({ earliest: 4, next: 4 });
        expect(await log.read(3, 4, ALL)).toEqual([]);
        expect(await log.append(3, sampleBlock(5))).toBe(4);
        expectRecord((await readAll(log, 3, 4))[0], 4, sampleBlock(5));
      },
    );
  });
}
