/**
 * The hot messages of ClickService: ClickBatch and SubmitClicksRequest in, ClickBatchResult and
 * SubmitClicksResponse out. A batch is scanned once for where its clicks lie; each click is then
 * decoded by position into one reused RawClick, so that no object is made for a click.
 */
import protobuf from "protobufjs/minimal.js";
import { AdtallyError } from "../../core/errors.ts";
import { resetRawClick } from "../../intake/raw-click.ts";
import { assertEnd, malformed, openMessage, readInt64, skipBytes, skipField } from "./wire.ts";
import type { Reader } from "protobufjs/minimal.js";
import type { BatchOutcomes, BatchSource } from "../../intake/batch.ts";
import type { RawClick } from "../../intake/raw-click.ts";

const ClickTag = { token: 0x0a, clickId: 0x12, adId: 0x19, clickedAtMs: 0x20, ip: 0x2a, userAgent: 0x32 };
const BatchTag = { batchId: 0x08, clicks: 0x12 };
const REQUEST_CLICKS_TAG = 0x0a;
const FIRST_POSITIONS = 1024;

export interface DecodedBatch extends BatchSource {
  /** The client's 64-bit batch id, as the varint bytes it came in. */
  readonly batchId: Uint8Array;
}

const ZERO = new Uint8Array([0]);

/** Where the clicks of the message being scanned start: used within one call at a time. */
let positions = new Uint32Array(FIRST_POSITIONS);

/** @throws INPUT_INVALID */
export function decodeClickBatch(bytes: Buffer): DecodedBatch {
  return scan(bytes, "ClickBatch", BatchTag.clicks, BatchTag.batchId);
}

/** @throws INPUT_INVALID */
export function decodeSubmitClicks(bytes: Buffer): BatchSource {
  return scan(bytes, "SubmitClicksRequest", REQUEST_CLICKS_TAG, -1);
}

/** One click that is a whole field of a SubmitClickRequest. @throws INPUT_INVALID */
export function decodeSubmitClick(bytes: Buffer): BatchSource {
  const found = scan(bytes, "SubmitClickRequest", REQUEST_CLICKS_TAG, -1);
  if (found.count === 0) throw new AdtallyError("INPUT_INVALID", "SubmitClickRequest: click is missing");
  return { count: 1, read: (_index, into) => found.read(found.count - 1, into) };
}

function scan(bytes: Buffer, message: string, clicksTag: number, batchIdTag: number): DecodedBatch {
  const reader = openMessage(bytes);
  let count = 0;
  let batchId: Uint8Array = ZERO;
  try {
    while (reader.pos < bytes.length) {
      const tag = reader.uint32();
      if (tag === clicksTag) {
        if (count === positions.length) positions = doubled(positions);
        positions[count++] = reader.pos;
        skipBytes(reader, bytes.length);
      } else if (tag === batchIdTag) {
        const from = reader.pos;
        readInt64(reader);
        batchId = bytes.subarray(from, reader.pos);
      } else skipField(reader, tag);
    }
    assertEnd(reader, bytes.length);
  } catch (error) {
    throw malformed(message, error);
  }
  const starts = positions.slice(0, count);
  return {
    batchId,
    count,
    read(index, into) {
      reader.pos = starts[index]!;
      try {
        const length = reader.uint32();
        decodeClick(reader, reader.pos + length, into);
      } catch (error) {
        throw malformed(`${message}.clicks[${index}]`, error);
      }
    },
  };
}

function doubled(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
}

function decodeClick(reader: Reader, end: number, into: RawClick): void {
  resetRawClick(into, reader.buf);
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case ClickTag.token:
        into.tokenLength = skipBytes(reader, end);
        into.tokenAt = reader.pos - into.tokenLength;
        break;
      case ClickTag.clickId:
        into.clickIdLength = skipBytes(reader, end);
        into.clickIdAt = reader.pos - into.clickIdLength;
        break;
      case ClickTag.adId:
        into.adLow = reader.fixed32();
        into.adHigh = reader.fixed32();
        break;
      case ClickTag.clickedAtMs:
        into.clickedAtMs = readInt64(reader);
        break;
      case ClickTag.ip:
        into.ipLength = skipBytes(reader, end);
        into.ipAt = reader.pos - into.ipLength;
        break;
      case ClickTag.userAgent:
        into.userAgentLength = skipBytes(reader, end);
        into.userAgentAt = reader.pos - into.userAgentLength;
        break;
      default:
        skipField(reader, tag);
    }
  }
  assertEnd(reader, end);
}

// ClickBatchResult: batch_id 1, verdicts 2, reasons 3, refusal 4. Verdicts and reasons are below
// 128, so that a packed field of them is their bytes as they are.

const ResultTag = { batchId: 0x08, verdicts: 0x12, reasons: 0x1a, refusal: 0x22 };
const ResponseTag = { verdicts: 0x0a, reasons: 0x12 };
const RefusalTag = { code: 0x0a, detail: 0x12, retryAfterMs: 0x18 };

export interface Refusal {
  readonly code: string;
  readonly detail: string;
  readonly retryAfterMs: number;
}

export function encodeBatchResult(batchId: Uint8Array, outcomes: BatchOutcomes): Buffer {
  return encodeOutcomes(outcomes, batchId, ResultTag.verdicts, ResultTag.reasons);
}

export function encodeSubmitClicksResponse(outcomes: BatchOutcomes): Buffer {
  return encodeOutcomes(outcomes, undefined, ResponseTag.verdicts, ResponseTag.reasons);
}

/** Shard and offset are those of the click's block, absent when nothing was kept. */
export function encodeSubmitClickResponse({ verdicts, reasons, place }: BatchOutcomes): Buffer {
  const writer = protobuf.Writer.create().uint32(0x08).uint32(verdicts[0]!).uint32(0x10).uint32(reasons[0]!);
  if (place !== undefined) writer.uint32(0x18).uint32(place.shard).uint32(0x20).uint64(place.offset);
  return writer.finish() as Buffer;
}

function encodeOutcomes(
  { verdicts, reasons }: BatchOutcomes,
  batchId: Uint8Array | undefined,
  verdictsTag: number,
  reasonsTag: number,
): Buffer {
  const message = Buffer.allocUnsafe(24 + verdicts.length + reasons.length);
  let at = batchId === undefined ? 0 : writeBatchId(message, batchId);
  at = writePacked(message, at, verdictsTag, verdicts);
  if (reasons.some((reason) => reason !== 0)) at = writePacked(message, at, reasonsTag, reasons);
  return message.subarray(0, at);
}

function writeBatchId(message: Buffer, batchId: Uint8Array): number {
  message[0] = ResultTag.batchId;
  message.set(batchId, 1);
  return 1 + batchId.length;
}

function writePacked(message: Buffer, at: number, tag: number, values: Uint8Array): number {
  if (values.length === 0) return at;
  message[at++] = tag;
  at = writeLength(message, at, values.length);
  message.set(values, at);
  return at + values.length;
}

function writeLength(message: Buffer, at: number, length: number): number {
  while (length >= 0x80) {
    message[at++] = (length & 0x7f) | 0x80;
    length >>>= 7;
  }
  message[at++] = length;
  return at;
}

export function encodeBatchRefusal(batchId: Uint8Array, refusal: Refusal): Buffer {
  const code = Buffer.from(refusal.code);
  const detail = Buffer.from(refusal.detail);
  const body = Buffer.allocUnsafe(24 + code.length + detail.length);
  let end = writePacked(body, 0, RefusalTag.code, code);
  end = writePacked(body, end, RefusalTag.detail, detail);
  if (refusal.retryAfterMs > 0) {
    body[end++] = RefusalTag.retryAfterMs;
    end = writeLength(body, end, Math.ceil(refusal.retryAfterMs));
  }
  const message = Buffer.allocUnsafe(24 + end);
  const at = writePacked(message, writeBatchId(message, batchId), ResultTag.refusal, body.subarray(0, end));
  return message.subarray(0, at);
}
