/** Blocks for tests of the click log; no test runner is imported, so that a child process can use it. */
import { makeBlock, type Block } from "../block/block.ts";

/** Append times rise by a second a sequence. */
export function sampleTimeMs(sequence: number): number {
  return 1_700_000_000_000 + sequence * 1_000;
}

/** A block that is unlike every other with another sequence. */
export function sampleBlock(sequence: number, valueBytes = 150): Block {
  const value = Buffer.alloc(valueBytes, `${sequence}|`);
  const appendTimeMs = sampleTimeMs(sequence);
  const fields = {
    epoch: 3,
    writer: 0xffff_ffff_fff0,
    rowCount: 1,
    appendTimeMs,
    sourceOffset: sequence - 2,
  };
  return makeBlock({ ...fields, sequence }, value);
}
