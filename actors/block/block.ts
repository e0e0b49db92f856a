/**
 * A click block: one record of the click log. The value is pure rows (row.ts); everything
 * about the block itself travels in the record's headers.
 */
import { crc32 } from "node:zlib";

export const BLOCK_FORMAT_VERSION = 1;

export interface BlockHeader {
  readonly formatVersion: number;
  /** Fencing epoch of the owner's assignment. */
  readonly epoch: number;
  /** Random id of the owner's incarnation (1 … 2^48-1): (writer, sequence) names one block for ever. */
  readonly writer: number;
  /** 1, 2, 3 … within one writer; unsigned 32-bit. Every row repeats it, for the raw table. */
  readonly sequence: number;
  readonly rowCount: number;
  /** The owner's clock at the append, never behind the partition's last block (ms). */
  readonly appendTimeMs: number;
  /**
   * Where the rows came from, or -1 for straight from gateways. In `clicks`: offset behind the
   * last record of the spill that this block holds. In the dead letters: offset of the block of
   * `clicks` that holds the rows.
   */
  readonly sourceOffset: number;
  /** CRC-32 of the value. */
  readonly crc: number;
}

export interface Block {
  readonly header: BlockHeader;
  readonly value: Buffer;
}

/** A block with the place that the log gave it. */
export interface LogRecord extends Block {
  readonly offset: number;
}

/** A new writer's id: 48 random bits, never 0. Two lives share one once in 10^14. */
export function writerId(random: (count: number) => Buffer): number {
  return Math.max(1, random(6).readUIntBE(0, 6));
}

export function makeBlock(header: Omit<BlockHeader, "formatVersion" | "crc">, value: Buffer): Block {
  return { header: { ...header, formatVersion: BLOCK_FORMAT_VERSION, crc: crc32(value) }, value };
}

export function isBlockIntact(block: Block): boolean {
  return crc32(block.value) === block.header.crc;
}
