/**
 * What every KeyedLog must do, by the numbers of its contract (keyed-log.ts). A fault that an
 * adapter has no hook for is skipped, and the test's name says so.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AdtallyError } from "../core/errors.ts";
import type { KeyedLog, KeyedRecord, StoredRecord } from "./keyed-log.ts";

export interface KeyedLogHarness {
  readonly log: KeyedLog;
  /** A second client of the same log. */
  readonly other: KeyedLog;
  close(): Promise<void>;
  /** Has the log drop older records of each key; how many it drops is its own affair. */
  compact?(): Promise<void>;
  /** The next append is applied, but its answer is lost. */
  loseAnswer?(): void;
}

export interface KeyedLogFactory {
  readonly hooks: readonly (keyof KeyedLogHarness)[];
  make(): Promise<KeyedLogHarness>;
}

const ALL = 64 * 1024 * 1024;

export const keyed = (key: string, value: string | Buffer): KeyedRecord => ({
  key: Buffer.from(key),
  value: Buffer.from(value),
});

export async function readAllKeyed(log: KeyedLog, from = 0, maxBytes = ALL): Promise<StoredRecord[]> {
  const found: StoredRecord[] = [];
  for (let next = from; ;) {
    const read = await log.read(next, maxBytes);
    found.push(...read.records);
    expect(read.next).toBeGreaterThanOrEqual(next);
    if (read.next >= read.end) return found;
    expect(read.next).toBeGreaterThan(next);
    next = read.next;
  }
}

const textOf = (records: readonly StoredRecord[]) =>
  records.map(({ offset, key, value }) => `${offset} ${key.toString()}=${value.toString()}`);

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "resolved",
    (error: unknown) => (error instanceof AdtallyError ? error.code : String(error)),
  );

export function describeKeyedLog(name: string, factory: KeyedLogFactory): void {
  const lacking = (hook: keyof KeyedLogHarness) => !factory.hooks.includes(hook);
  const titled = (title: string, hook: keyof KeyedLogHarness) =>
    lacking(hook) ? `${title} (skipped: this adapter has no ${hook} hook)` : title;

  describe(`${name} is a KeyedLog`, () => {
    let harness: KeyedLogHarness;
    beforeEach(async () => {
      harness = await factory.make();
    });
    afterEach(() => harness.close());

    it("E1 an append's records stand in order, and are read back by every client", async () => {
      const { log, other } = harness;
      expect(await log.append([keyed("a", "1"), keyed("b", "2"), keyed("c", "")])).toBe(3);
      expect(await other.append([keyed("d", "ü")])).toBe(4);
      for (const each of [log, other])
        expect(textOf(await readAllKeyed(each))).toEqual(["0 a=1", "1 b=2", "2 c=", "3 d=ü"]);
    });

    it("E1 appends of two clients at once never mix", async () => {
      const { log, other } = harness;
      const ends = await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          (n % 2 ? log : other).append([0, 1, 2].map((i) => keyed(`${n}-${i}`, String(n)))),
        ),
      );
      const records = await readAllKeyed(log);
      expect(records).toHaveLength(60);
      for (const [n, end] of ends.entries()) {
        expect(textOf(records.slice(end - 3, end))).toEqual(
          [0, 1, 2].map((i) => `${end - 3 + i} ${n}-${i}=${n}`),
        );
      }
    });

    it("E1 what it was given is kept when the caller uses the buffers again", async () => {
      const record = keyed("a", "kept");
      await harness.log.append([record]);
      record.value.fill(0);
      expect(textOf(await readAllKeyed(harness.log))).toEqual(["0 a=kept"]);
    });

    it("E4 a read begins at any offset, and is bounded by maxBytes but never empty before the end", async () => {
      const { log } = harness;
      for (let n = 0; n < 10; n++)
        await log.append([keyed(`k${n}`, Buffer.alloc(1_000, 65)), keyed(`l${n}`, Buffer.alloc(1_000, 66))]);
      expect((await readAllKeyed(log, 7)).map(({ offset }) => offset)).toEqual(
        Array.from({ length: 13 }, (_, n) => n + 7),
      );
      expect((await readAllKeyed(log, 0, 1)).map(({ offset }) => offset)).toEqual(
        Array.from({ length: 20 }, (_, n) => n),
      );
      expect((await log.read(0, 1)).records.length).toBeLessThan(5);
    });

    it("E5 an empty log ends at 0; an offset below 0 or past the end is OFFSET_OUT_OF_RANGE", async () => {
      const { log } = harness;
      expect(await log.end()).toBe(0);
      expect(await log.read(0, ALL)).toEqual({ records: [], next: 0, end: 0 });
      await log.append([keyed("a", "1")]);
      expect(await log.end()).toBe(1);
      expect(await log.read(1, ALL)).toEqual({ records: [], next: 1, end: 1 });
      for (const offset of [-1, 2, Number.NaN]) {
        expect(await codeOf(log.read(offset, ALL))).toBe("OFFSET_OUT_OF_RANGE");
      }
    });

    it.skipIf(lacking("compact"))(
      titled("E2 compaction keeps each key's newest, at its offset, and reads go over the gaps", "compact"),
      async () => {
        const { log } = harness;
        await log.append([keyed("once", "0")]);
        for (let n = 1; n <= 50; n++) await log.append([keyed(`k${n % 5}`, String(n))]);
        await harness.compact!();
        await log.append([keyed("last", "51")]);
        const records = await readAllKeyed(log);
        expect(records.length).toBeLessThan(52);
        expect(textOf(records)).toEqual(
          textOf(records.toSorted((a, b) => a.offset - b.offset)).filter(
            (each, n, all) => all.indexOf(each) === n,
          ),
        );
        const newest = new Map(records.map(({ key, value }) => [key.toString(), value.toString()]));
        expect(Object.fromEntries(newest)).toEqual({
          once: "0",
          k1: "46",
          k2: "47",
          k3: "48",
          k4: "49",
          k0: "50",
          last: "51",
        });
        for (let from = 0; from <= 52; from++) {
          const expected = records.filter(({ offset }) => offset >= from);
          expect(textOf(await readAllKeyed(log, from))).toEqual(textOf(expected));
        }
      },
    );

    it.skipIf(lacking("loseAnswer"))(
      titled("E3 an append whose answer is lost is APPEND_UNKNOWN, and stands whole", "loseAnswer"),
      async () => {
        await harness.log.append([keyed("a", "1")]);
        harness.loseAnswer!();
        expect(await codeOf(harness.log.append([keyed("b", "2"), keyed("c", "3")]))).toBe("APPEND_UNKNOWN");
        expect(textOf(await readAllKeyed(harness.other))).toEqual(["0 a=1", "1 b=2", "2 c=3"]);
      },
    );
  });
}
