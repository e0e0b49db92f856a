/** The messages of ShardService. Rows and outcomes are views into the message, never copies. */
import protobuf from "protobufjs/minimal.js";
import { decodeRefusal } from "./click-client.ts";
import { assertEnd, malformed, openMessage, readInt64, skipBytes, skipField } from "./wire.ts";
import type { Submission, SubmissionResult } from "../../ports/shard-port.ts";
import type { Refusal } from "./click-codec.ts";

const SubmissionTag = { requestId: 0x08, shard: 0x10, count: 0x18, rows: 0x22 };
const ResultTag = { requestId: 0x08, offset: 0x10, outcomes: 0x1a, refusal: 0x22 };
/** Of ShardSubmissions and ShardSubmissionResults alike: their only field. */
const EACH_TAG = 0x0a;
const NO_BYTES = Buffer.alloc(0);

/** Bytes of a number as a varint: unsigned, and an integer that a double holds exactly. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes += 1;
  return bytes;
}

function writeVarint(to: Buffer, at: number, value: number): number {
  for (; value >= 0x80; value = Math.floor(value / 0x80)) to[at++] = (value % 0x80) | 0x80;
  to[at++] = value;
  return at;
}

function writeNumber(to: Buffer, at: number, tag: number, value: number): number {
  to[at] = tag;
  return writeVarint(to, at + 1, value);
}

function writeBytes(to: Buffer, at: number, tag: number, bytes: Uint8Array): number {
  const from = writeNumber(to, at, tag, bytes.length);
  to.set(bytes, from);
  return from + bytes.length;
}

/** Tag, length and content of each message, one after the other in one piece of memory. */
function gather<T>(
  items: readonly T[],
  sizeOf: (item: T) => number,
  write: (to: Buffer, at: number, item: T) => number,
): Buffer {
  const sizes = items.map(sizeOf);
  const to = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + 1 + varintBytes(size) + size, 0));
  let at = 0;
  items.forEach((item, i) => {
    at = write(to, writeNumber(to, at, EACH_TAG, sizes[i]!), item);
  });
  return to;
}

/** The messages that were gathered, as views. @throws INPUT_INVALID */
export function scatter(bytes: Buffer): Buffer[] {
  const reader = openMessage(bytes);
  const messages: Buffer[] = [];
  try {
    while (reader.pos < bytes.length) {
      const tag = reader.uint32();
      if (tag === EACH_TAG) {
        const length = skipBytes(reader, bytes.length);
        messages.push(bytes.subarray(reader.pos - length, reader.pos));
      } else skipField(reader, tag);
    }
    assertEnd(reader, bytes.length);
  } catch (error) {
    throw malformed("message of several", error);
  }
  return messages;
}

export interface NumberedSubmission {
  readonly requestId: number;
  readonly submission: Submission;
}

/** ShardSubmissions. The rows are copied here, and nowhere before. */
export function encodeSubmissions(items: readonly NumberedSubmission[]): Buffer {
  return gather(items, submissionBytes, (to, at, { requestId, submission }) => {
    at = writeNumber(to, at, SubmissionTag.requestId, requestId);
    at = writeNumber(to, at, SubmissionTag.shard, submission.shard);
    at = writeNumber(to, at, SubmissionTag.count, submission.count);
    return writeBytes(to, at, SubmissionTag.rows, submission.rows);
  });
}

function submissionBytes({ requestId, submission }: NumberedSubmission): number {
  const { shard, count, rows } = submission;
  const numbers = varintBytes(requestId) + varintBytes(shard) + varintBytes(count);
  return 4 + numbers + varintBytes(rows.length) + rows.length;
}

/** @throws INPUT_INVALID */
export function decodeSubmission(bytes: Buffer): NumberedSubmission {
  const reader = openMessage(bytes);
  let requestId = 0;
  const submission = { shard: 0, count: 0, rows: NO_BYTES as Buffer };
  try {
    while (reader.pos < bytes.length) {
      const tag = reader.uint32();
      if (tag === SubmissionTag.requestId) requestId = readInt64(reader);
      else if (tag === SubmissionTag.shard) submission.shard = reader.uint32();
      else if (tag === SubmissionTag.count) submission.count = reader.uint32();
      else if (tag === SubmissionTag.rows) {
        const length = skipBytes(reader, bytes.length);
        submission.rows = bytes.subarray(reader.pos - length, reader.pos);
      } else skipField(reader, tag);
    }
    assertEnd(reader, bytes.length);
  } catch (error) {
    throw malformed("ShardSubmission", error);
  }
  return { requestId, submission };
}

/** What a submission is answered: outcomes, or why there are none. */
export interface ShardAnswer {
  readonly requestId: number;
  readonly result: SubmissionResult | Refusal;
}

/** ShardSubmissionResults. */
export function encodeShardAnswers(answers: readonly ShardAnswer[]): Buffer {
  const bodies = answers.map(({ requestId, result }) =>
    "code" in result ? { requestId, refusal: refusalOf(result) } : { requestId, result },
  );
  return gather(bodies, answerBytes, (to, at, { requestId, result, refusal }) => {
    at = writeNumber(to, at, ResultTag.requestId, requestId);
    if (result === undefined) return writeBytes(to, at, ResultTag.refusal, refusal);
    if (result.offset !== undefined) at = writeNumber(to, at, ResultTag.offset, result.offset);
    return writeBytes(to, at, ResultTag.outcomes, result.outcomes);
  });
}

type AnswerBody = { readonly requestId: number } & (
  | { readonly result: SubmissionResult; readonly refusal?: undefined }
  | { readonly result?: undefined; readonly refusal: Uint8Array }
);

function answerBytes({ requestId, result, refusal }: AnswerBody): number {
  const last = result === undefined ? refusal : result.outcomes;
  const offset = result?.offset === undefined ? 0 : 1 + varintBytes(result.offset);
  return 2 + varintBytes(requestId) + offset + varintBytes(last.length) + last.length;
}

function refusalOf({ code, detail, retryAfterMs }: Refusal): Uint8Array {
  const writer = protobuf.Writer.create().uint32(0x0a).string(code).uint32(0x12).string(detail);
  return writer.uint32(0x18).uint32(retryAfterMs).finish();
}

export interface DecodedShardResult extends SubmissionResult {
  readonly requestId: number;
  readonly refusal: Refusal | undefined;
}

/** @throws INPUT_INVALID */
export function decodeShardResult(bytes: Buffer): DecodedShardResult {
  const reader = openMessage(bytes);
  let requestId = 0;
  let offset = 0;
  let outcomes: Uint8Array = NO_BYTES;
  let refusal: Refusal | undefined;
  const field = (): Buffer => {
    const length = skipBytes(reader, bytes.length);
    return bytes.subarray(reader.pos - length, reader.pos);
  };
  try {
    while (reader.pos < bytes.length) {
      const tag = reader.uint32();
      if (tag === ResultTag.requestId) requestId = readInt64(reader);
      else if (tag === ResultTag.offset) offset = readInt64(reader);
      else if (tag === ResultTag.outcomes) outcomes = field();
      else if (tag === ResultTag.refusal) refusal = decodeRefusal(field());
      else skipField(reader, tag);
    }
    assertEnd(reader, bytes.length);
  } catch (error) {
    throw malformed("ShardSubmissionResult", error);
  }
  return { requestId, offset, outcomes, refusal };
}
