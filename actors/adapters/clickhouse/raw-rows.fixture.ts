/** Blocks of made-up clicks, for the tests of the raw table and of the reports over it. */
import { makeBlock, type Block } from "../../block/block.ts";
import { rowBytes, stampRow, writeRow } from "../../block/row.ts";
import { Reason, Source, Verdict } from "../../core/verdict.ts";

export interface FakeClick {
  readonly impressionId: Buffer;
  readonly adId: number;
  readonly campaignId: number;
  readonly advertiserId: number;
  readonly clickTimeMs: number;
  readonly receivedTimeMs: number;
  readonly verdict: number;
  readonly reason: number;
  readonly userAgent: string;
}

/** A UUIDv7 of that time; `n` makes it one of its own. */
export function fakeImpressionId(timeMs: number, n: number): Buffer {
  const id = Buffer.alloc(16);
  id.writeUIntBE(timeMs, 0, 6);
  id[6] = 0x70;
  id[8] = 0x80;
  id.writeUInt32BE(n, 12);
  return id;
}

export function fakeClick(timeMs: number, n: number, change: Partial<FakeClick> = {}): FakeClick {
  return {
    impressionId: fakeImpressionId(timeMs - 5_000, n),
    adId: 1001,
    campaignId: 101,
    advertiserId: 11,
    clickTimeMs: timeMs,
    receivedTimeMs: timeMs + 20,
    verdict: Verdict.ACCEPTED,
    reason: Reason.NONE,
    userAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140",
    ...change,
  };
}

const UNKNOWN_IP = Buffer.alloc(0);

export function fakeBlock(
  shard: number,
  writer: number,
  sequence: number,
  clicks: readonly FakeClick[],
): Block {
  const agents = clicks.map((click) => Buffer.from(click.userAgent));
  const value = Buffer.alloc(agents.reduce((sum, agent) => sum + rowBytes(agent.length), 0));
  let at = 0;
  clicks.forEach((click, rowNumber) => {
    const end = writeRow(value, at, {
      impressionId: click.impressionId,
      impressionIdAt: 0,
      adHigh: 0,
      adLow: click.adId,
      campaignHigh: 0,
      campaignLow: click.campaignId,
      advertiserHigh: 0,
      advertiserLow: click.advertiserId,
      clickTimeMs: click.clickTimeMs,
      receivedTimeMs: click.receivedTimeMs,
      ip: UNKNOWN_IP,
      generation: 1,
      shard,
      source: Source.HTTP,
      verdict: click.verdict,
      reason: click.reason,
      userAgent: agents[rowNumber]!,
    });
    stampRow(value, at, click.verdict, click.reason, sequence, rowNumber);
    at = end;
  });
  const appendTimeMs = clicks.at(-1)?.receivedTimeMs ?? 0;
  return makeBlock(
    { epoch: 1, writer, sequence, rowCount: clicks.length, appendTimeMs, sourceOffset: -1 },
    value,
  );
}
