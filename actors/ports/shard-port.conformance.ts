/**
 * The contract of ShardPort (P1 to P5 of shard-port.ts), for every adapter, over shards in
 * memory that can be told to be overloaded, slow or dead.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ROW_FIXED_BYTES, rowBytes, writeRow } from "../block/row.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { Reason, Source, Verdict } from "../core/verdict.ts";
import type { Limits } from "../core/limits.ts";
import type { ShardPort, Submission } from "./shard-port.ts";

/** What the suite needs of the fake behind the port (adapters/memory/memory-shard.ts fits). */
export interface ShardUnderTest {
  readonly rows: readonly { readonly impressionId: string; readonly verdict: number }[];
  beWell(): void;
  beOverloaded(): void;
  beSlow(delayMs: number): void;
  die(): void;
}

export interface PortUnderTest {
  readonly port: ShardPort;
  /** Breaks what connects the port to its shards, where the adapter has such a thing. */
  readonly sever?: () => Promise<void>;
  close(): Promise<void>;
}

const LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  submitDeadlineMs: 1_000,
  mailboxMaxClicks: 100,
  reconnectMinMs: 5,
};
const SHARD = 2;

/** Rows whose impression ids are `from`, from + 1, …, and which say nothing else of interest. */
export function submissionOf(shard: number, from: number, count: number, verdict = 0): Submission {
  const userAgent = Buffer.from("agent");
  const rows = Buffer.alloc(count * rowBytes(userAgent.length));
  let at = 0;
  for (let i = 0; i < count; i++) {
    const impressionId = Buffer.alloc(16);
    impressionId.writeUInt32BE(from + i, 12);
    at = writeRow(rows, at, {
      impressionId,
      impressionIdAt: 0,
      adHigh: 0,
      adLow: 1,
      campaignHigh: 0,
      campaignLow: 2,
      advertiserHigh: 0,
      advertiserLow: 3,
      clickTimeMs: 1_000,
      receivedTimeMs: 1_000,
      ip: Buffer.alloc(0),
      generation: 1,
      shard,
      source: Source.HTTP,
      verdict,
      reason: verdict === Verdict.EXPIRED ? Reason.TOKEN_EXPIRED : Reason.NONE,
      userAgent,
    });
  }
  return { shard, rows, count };
}

const verdictsOf = (outcomes: Uint8Array): number[] => [...outcomes].filter((_, i) => i % 2 === 0);

export function describeShardPort(
  name: string,
  open: (limits: Limits) => Promise<{ under: PortUnderTest; shard: (shard: number) => ShardUnderTest }>,
): void {
  describe(`ShardPort: ${name}`, () => {
    let opened: Awaited<ReturnType<typeof open>>;
    const submit = (submission: Submission) => opened.under.port.submit(submission);
    beforeEach(async () => {
      opened = await open(LIMITS);
    });
    afterEach(() => opened.under.close());

    it("P1 resolves with what the shard appended: its rows, unchanged, and the block's offset", async () => {
      const first = await submit(submissionOf(SHARD, 0, 3));
      const second = await submit(submissionOf(SHARD, 3, 2));
      expect([first.offset, second.offset]).toEqual([0, 1]);
      expect(opened.shard(SHARD).rows.map((row) => parseInt(row.impressionId, 16))).toEqual([0, 1, 2, 3, 4]);
    });

    it("P1 keeps shards apart", async () => {
      await Promise.all([submit(submissionOf(0, 0, 1)), submit(submissionOf(1, 0, 1))]);
      expect([opened.shard(0).rows.length, opened.shard(1).rows.length]).toEqual([1, 1]);
    });

    it("P2 answers in the order of the rows, presets and repeats among them", async () => {
      await submit(submissionOf(SHARD, 1, 1));
      const mixed = await submit(submissionOf(SHARD, 0, 3));
      expect(verdictsOf(mixed.outcomes)).toEqual([Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.ACCEPTED]);
      const expired = await submit(submissionOf(SHARD, 0, 1, Verdict.EXPIRED));
      expect([...expired.outcomes]).toEqual([Verdict.EXPIRED, Reason.TOKEN_EXPIRED]);
    });

    it("P2 matches answers to submissions when a later one is answered first", async () => {
      opened.shard(0).beSlow(60);
      const slow = submit(submissionOf(0, 0, 1));
      const quick = submit(submissionOf(1, 0, 2));
      expect((await quick).outcomes).toHaveLength(4);
      expect((await slow).outcomes).toHaveLength(2);
    });

    it("P3 OVERLOADED comes with a hint, and nothing was taken", async () => {
      opened.shard(SHARD).beOverloaded();
      const refused = submit(submissionOf(SHARD, 0, 1));
      await expect(refused).rejects.toMatchObject({ code: "OVERLOADED", retryAfterMs: 50 });
      expect(opened.shard(SHARD).rows).toHaveLength(0);
      opened.shard(SHARD).beWell();
      expect(verdictsOf((await submit(submissionOf(SHARD, 0, 1))).outcomes)).toEqual([Verdict.ACCEPTED]);
    });

    it("P3 a shard that is not there is NOT_OWNER", async () => {
      await expect(submit(submissionOf(9, 0, 1))).rejects.toMatchObject({ code: "NOT_OWNER" });
    });

    it("P4 a shard that does not answer is DEADLINE_EXCEEDED, and sending again is safe", async () => {
      opened.shard(SHARD).die();
      await expect(submit(submissionOf(SHARD, 0, 2))).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
      opened.shard(SHARD).beWell();
      const again = await submit(submissionOf(SHARD, 0, 2));
      expect(verdictsOf(again.outcomes)).toEqual([Verdict.DUPLICATE, Verdict.DUPLICATE]);
    });

    it("P4 a broken connection is ABORTED at once, and heals", async ({ skip }) => {
      const sever = opened.under.sever ?? skip("this adapter has no connection");
      opened.shard(SHARD).die();
      const lost = submit(submissionOf(SHARD, 0, 1));
      const outcome = expect(lost).rejects.toMatchObject({ code: "ABORTED" });
      await expect.poll(() => opened.shard(SHARD).rows.length).toBe(1);
      await sever();
      await outcome;
      opened.shard(SHARD).beWell();
      const again = async () => verdictsOf((await submit(submissionOf(SHARD, 0, 1))).outcomes)[0];
      await expect.poll(() => again().catch(() => undefined)).toBe(Verdict.DUPLICATE);
    });

    it("P5 refuses past the mailbox at once, and takes again once it has emptied", async () => {
      opened.shard(SHARD).beSlow(50);
      const taken = submit(submissionOf(SHARD, 0, LIMITS.mailboxMaxClicks));
      await expect(submit(submissionOf(SHARD, 1_000, 1))).rejects.toMatchObject({ code: "OVERLOADED" });
      expect((await taken).outcomes).toHaveLength(2 * LIMITS.mailboxMaxClicks);
      opened.shard(SHARD).beWell();
      await submit(submissionOf(SHARD, 1_000, 1));
    });
  });
}

/** A submission that claims one row more than it has. */
export function shortSubmission(shard: number): Submission {
  return { shard, rows: Buffer.alloc(ROW_FIXED_BYTES + 1), count: 2 };
}
