/**
 * What the hand-tuned codecs share. They read with protobufjs' Reader, field by field, and so
 * keep protobuf's rules: unknown fields are skipped, the last of a repeated single field wins,
 * a field of an unexpected wire type is unknown. Malformed bytes are INPUT_INVALID, naming
 * where. protos.test.ts holds each codec against proto-loader's decoding of the same bytes.
 */
import protobuf from "protobufjs/minimal.js";
import { AdtallyError, messageOf } from "../../core/errors.ts";
import type { Reader } from "protobufjs/minimal.js";

/** Metadata of a submission stream's opening: the actor host's wall clock, ms since 1970. */
export const HOST_CLOCK_KEY = "adtally-clock-ms";

const TWO_POW_32 = 4_294_967_296;

export function openMessage(bytes: Buffer): Reader {
  return protobuf.Reader.create(bytes);
}

/** A varint as the signed 64-bit number nearest to it. */
export function readInt64(reader: Reader): number {
  const { buf, len } = reader;
  let low = 0;
  let high = 0;
  for (let shift = 0; shift < 70; shift += 7) {
    if (reader.pos >= len) throw new RangeError(`the message ends inside a number at byte ${reader.pos}`);
    const byte = buf[reader.pos++]!;
    const bits = byte & 0x7f;
    if (shift < 28) low |= bits << shift;
    else if (shift === 28) {
      low |= bits << 28;
      high |= bits >>> 4;
    } else high |= bits << (shift - 32);
    if (byte < 0x80) return (high | 0) * TWO_POW_32 + (low >>> 0);
  }
  throw new RangeError(`a number of more than ten bytes ends at byte ${reader.pos}`);
}

/** Moves behind a length-delimited field and returns its length; `reader.pos` less it is its start. */
export function skipBytes(reader: Reader, end: number): number {
  const length = reader.uint32();
  if (reader.pos + length > end)
    throw new RangeError(`a field of ${length} bytes at byte ${reader.pos} has no room`);
  reader.pos += length;
  return length;
}

export function skipField(reader: Reader, tag: number): void {
  if (tag >>> 3 === 0) throw new RangeError(`field number 0 at byte ${reader.pos}`);
  reader.skipType(tag & 7);
}

/** Every field must end where its message ends. */
export function assertEnd(reader: Reader, end: number): void {
  if (reader.pos !== end) throw new RangeError(`a field runs past its message at byte ${end}`);
}

export function malformed(what: string, error: unknown): AdtallyError {
  return new AdtallyError("INPUT_INVALID", `malformed ${what}: ${messageOf(error)}`, { cause: error });
}
