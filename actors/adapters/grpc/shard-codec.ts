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

/** One message of several, as encodeSubmission or encodeSubmissionResult made them. */
export function gather(messages: readonly Buffer[]): Buffer {
  const parts: Buffer[] = [];
  for (const message of messages) {
    const front = protobuf.Writer.create().uint32(EACH_TAG).uint32(message.length).finish();
    parts.push(front as Buffer, message);
  }
  return Buffer.concat(parts);
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

export function encodeSubmission(requestId: number, { shard, count, rows }: Submission): Buffer {
  const writer = protobuf.Writer.create().uint32(SubmissionTag.requestId).uint64(requestId);
  writer.uint32(SubmissionTag.shard).uint32(shard).uint32(SubmissionTag.count).uint32(count);
  return writer.uint32(SubmissionTag.rows).bytes(rows).finish() as Buffer;
}

/** @throws INPUT_INVALID */
export function decodeSubmission(bytes: Buffer): { requestId: number; submission: Submission } {
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

export function encodeSubmissionResult(requestId: number, { offset, outcomes }: SubmissionResult): Buffer {
  const writer = protobuf.Writer.create().uint32(ResultTag.requestId).uint64(requestId);
  if (offset !== undefined) writer.uint32(ResultTag.offset).uint64(offset);
  return writer.uint32(ResultTag.outcomes).bytes(outcomes).finish() as Buffer;
}

export function encodeShardRefusal(requestId: number, { code, detail, retryAfterMs }: Refusal): Buffer {
  const writer = protobuf.Writer.create().uint32(ResultTag.requestId).uint64(requestId);
  writer.uint32(ResultTag.refusal).fork();
  writer.uint32(0x0a).string(code).uint32(0x12).string(detail).uint32(0x18).uint32(retryAfterMs);
  return writer.ldelim().finish() as Buffer;
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
