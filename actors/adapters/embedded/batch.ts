/**
 * One group commit's bytes: frames for all appends that waited, of whatever partition, laid out
 * for one vectored write. Pure.
 */
import type { Block } from "../../block/block.ts";
import { FRAME_HEADER_BYTES, writeFrameHeader, type LogKey } from "./frame.ts";
import type { Segment } from "./segment.ts";

/** Values from this size on are written from where they are; smaller ones are cheaper to copy. */
const COPY_BELOW_BYTES = 16 * 1024;

export interface Placed {
  readonly key: LogKey;
  readonly block: Block;
  readonly offset: number;
}

export function frameBytes(block: Block): number {
  return FRAME_HEADER_BYTES + block.value.length;
}

export function encodeBatch(frames: readonly Placed[], segment: Segment): Buffer[] {
  let arenaBytes = 0;
  for (const { block } of frames) {
    arenaBytes += FRAME_HEADER_BYTES + (block.value.length < COPY_BELOW_BYTES ? block.value.length : 0);
  }
  const arena = Buffer.allocUnsafe(arenaBytes);
  const buffers: Buffer[] = [];
  const syncedUpTo = segment.base + segment.size;
  let position = syncedUpTo;
  let at = 0;
  let runStart = 0;
  for (const { key, block, offset } of frames) {
    writeFrameHeader(
      arena,
      at,
      { salt: segment.salt, position, syncedUpTo },
      key,
      offset,
      block.header,
      block.value,
    );
    at += FRAME_HEADER_BYTES;
    position += FRAME_HEADER_BYTES + block.value.length;
    if (block.value.length < COPY_BELOW_BYTES) {
      at += block.value.copy(arena, at);
    } else {
      buffers.push(arena.subarray(runStart, at), block.value);
      runStart = at;
    }
  }
  if (runStart < at) buffers.push(arena.subarray(runStart, at));
  return buffers;
}
