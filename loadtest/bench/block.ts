/**
 * What a click costs as bytes: its row written by the gateway, stamped and sealed into a block by
 * its shard, and read again by a fold. node loadtest/bench/block.ts [--quick] [--json]
 */
import { randomBytes } from "node:crypto";
import { isBlockIntact, makeBlock } from "../../actors/block/block.ts";
import {
  readImpressionMs,
  readTime,
  RowAt,
  rowBytes,
  rowEnd,
  stampRow,
  writeRow,
  type ClickFields,
} from "../../actors/block/row.ts";
import { Reason, Source, Verdict } from "../../actors/core/verdict.ts";
import { createBench } from "../lib/microbench.ts";

const ROWS = 1_000;
const BLOCKS = 1_000;
const CALLS = ROWS * BLOCKS;

const userAgent = Buffer.from(
  "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36",
);
const nowMs = Date.now();
const click: ClickFields = {
  impressionId: randomBytes(16),
  impressionIdAt: 0,
  adHigh: 0,
  adLow: 1_001,
  campaignHigh: 0,
  campaignLow: 101,
  advertiserHigh: 0,
  advertiserLow: 11,
  clickTimeMs: nowMs,
  receivedTimeMs: nowMs,
  ip: Buffer.from("00000000000000000000ffff0a000001", "hex"),
  generation: 1,
  shard: 3,
  source: Source.GRPC_TOKEN,
  verdict: Verdict.UNDECIDED,
  reason: Reason.NONE,
  userAgent,
};
const rows = Buffer.alloc(ROWS * rowBytes(userAgent.length));
const header = { epoch: 1, writer: 1, sequence: 1, rowCount: ROWS, appendTimeMs: nowMs, sourceOffset: -1 };

const bench = createBench("block", "a click");
/** `work` does the rows of one block. */
const measure = (what: string, work: () => number) =>
  bench.measure(`${what}, blocks of ${ROWS.toLocaleString("en")}`, CALLS, (calls) => {
    let sum = 0;
    for (let i = 0; i < calls; i += ROWS) sum += work();
    return sum;
  });

bench.add("size", { "bytes a click": rowBytes(userAgent.length), "user agent bytes": userAgent.length });
measure("encode: rows written", () => {
  let at = 0;
  for (let i = 0; i < ROWS; i++) {
    click.adLow = i;
    at = writeRow(rows, at, click);
  }
  return at;
});
measure("encode: verdicts stamped into the rows", () => {
  let at = 0;
  for (let i = 0; i < ROWS; i++) {
    stampRow(rows, at, Verdict.ACCEPTED, Reason.NONE, 1, i);
    at = rowEnd(rows, at);
  }
  return at;
});
measure("encode: the block sealed (CRC-32)", () => makeBlock(header, rows).header.crc & 1);
const block = makeBlock(header, rows);
measure("decode: the seal checked", () => (isBlockIntact(block) ? 1 : 0));
measure("decode: what a fold reads of each row", () => {
  let sum = 0;
  for (let at = 0; at < rows.length; at = rowEnd(rows, at)) {
    sum += rows[at + RowAt.verdict]! + readTime(rows, at + RowAt.clickTime) + readImpressionMs(rows, at);
    sum += rows.readUInt32LE(at) + rows.readUInt32LE(at + 12) + rows.readUInt32LE(at + RowAt.adId);
  }
  return sum;
});
bench.print();
