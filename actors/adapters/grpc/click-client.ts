/**
 * The client's half of the hot messages, for load generators and tests: encodes clicks and
 * batches, decodes results, with the same care for cost as the server's half.
 */
import protobuf from "protobufjs/minimal.js";
import { assertEnd, malformed, openMessage, readInt64, skipBytes, skipField } from "./wire.ts";
import type { Refusal } from "./click-codec.ts";

/** A Click of click.proto; what is absent or 0 is not sent. */
export interface ClickMessage {
  readonly token?: Uint8Array;
  readonly clickId?: Uint8Array;
  readonly adId?: bigint;
  readonly clickedAtMs?: number;
  readonly ip?: Uint8Array;
  readonly userAgent?: Uint8Array;
}

export interface ClickBatchResult {
  readonly batchId: number;
  readonly verdicts: Uint8Array;
  /** Empty when every reason is unspecified. */
  readonly reasons: Uint8Array;
  readonly refusal: Refusal | undefined;
}

export function encodeClick(click: ClickMessage): Uint8Array {
  const writer = protobuf.Writer.create();
  if (click.token !== undefined) writer.uint32(0x0a).bytes(click.token);
  if (click.clickId !== undefined) writer.uint32(0x12).bytes(click.clickId);
  if (click.adId !== undefined) {
    writer
      .uint32(0x19)
      .fixed32(Number(click.adId & 0xffff_ffffn))
      .fixed32(Number(click.adId >> 32n));
  }
  if (click.clickedAtMs !== undefined) writer.uint32(0x20).int64(click.clickedAtMs);
  if (click.ip !== undefined) writer.uint32(0x2a).bytes(click.ip);
  if (click.userAgent !== undefined) writer.uint32(0x32).bytes(click.userAgent);
  return writer.finish();
}

/** A ClickBatch of clicks that encodeClick made. */
export function encodeClickBatch(batchId: number, clicks: readonly Uint8Array[]): Buffer {
  const writer = protobuf.Writer.create().uint32(0x08).uint64(batchId);
  for (const click of clicks) writer.uint32(0x12).bytes(click);
  return writer.finish() as Buffer;
}

const NO_BYTES = new Uint8Array(0);

/** @throws INPUT_INVALID */
export function decodeClickBatchResult(bytes: Buffer): ClickBatchResult {
  const reader = openMessage(bytes);
  let batchId = 0;
  let verdicts: Uint8Array = NO_BYTES;
  let reasons: Uint8Array = NO_BYTES;
  let refusal: Refusal | undefined;
  const field = (): Buffer => {
    const length = skipBytes(reader, bytes.length);
    return bytes.subarray(reader.pos - length, reader.pos);
  };
  try {
    while (reader.pos < bytes.length) {
      const tag = reader.uint32();
      if (tag === 0x08) batchId = readInt64(reader);
      else if (tag === 0x12) verdicts = field();
      else if (tag === 0x1a) reasons = field();
      else if (tag === 0x22) refusal = decodeRefusal(field());
      else skipField(reader, tag);
    }
    assertEnd(reader, bytes.length);
  } catch (error) {
    throw malformed("ClickBatchResult", error);
  }
  return { batchId, verdicts, reasons, refusal };
}

/** BatchRefusal and ShardRefusal have the same three fields. */
export function decodeRefusal(bytes: Buffer): Refusal {
  const reader = openMessage(bytes);
  const refusal = { code: "", detail: "", retryAfterMs: 0 };
  const text = (): string => {
    const length = skipBytes(reader, bytes.length);
    return bytes.toString("utf8", reader.pos - length, reader.pos);
  };
  while (reader.pos < bytes.length) {
    const tag = reader.uint32();
    if (tag === 0x0a) refusal.code = text();
    else if (tag === 0x12) refusal.detail = text();
    else if (tag === 0x18) refusal.retryAfterMs = reader.uint32();
    else skipField(reader, tag);
  }
  assertEnd(reader, bytes.length);
  return refusal;
}
