/**
 * Lines out of a stream of chunks, in bounded memory: a line longer than `maxBytes` is passed on
 * as "too-long", by its number, and its bytes are dropped as they come.
 */
export interface Line {
  /** From 1. */
  readonly number: number;
  /** Without the line break (LF or CRLF). */
  readonly bytes: Buffer | "too-long";
}

const LF = 0x0a;
const CR = 0x0d;
const EMPTY = Buffer.alloc(0);

/** The lines that end in each chunk, and at the end the one that no line break ends. */
export async function* linesOf(chunks: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Line[]> {
  let number = 0;
  let begun: Buffer = EMPTY;
  let tooLong = false;

  const finish = (rest: Buffer): Line => {
    number += 1;
    const length = begun.length + rest.length;
    const whole = begun.length === 0 ? rest : Buffer.concat([begun, rest], length);
    const dropped = tooLong || length > maxBytes + 1;
    begun = EMPTY;
    tooLong = false;
    if (dropped) return { number, bytes: "too-long" };
    const bytes = whole[length - 1] === CR ? whole.subarray(0, length - 1) : whole;
    return { number, bytes: bytes.length > maxBytes ? "too-long" : bytes };
  };

  for await (const chunk of chunks) {
    const lines: Line[] = [];
    let from = 0;
    for (let at = chunk.indexOf(LF); at !== -1; at = chunk.indexOf(LF, from)) {
      lines.push(finish(chunk.subarray(from, at)));
      from = at + 1;
    }
    const rest = chunk.subarray(from);
    if (!tooLong && begun.length + rest.length > maxBytes + 1) {
      tooLong = true;
      begun = EMPTY;
    }
    // A copy: the chunk itself must not be kept for the sake of its tail.
    if (!tooLong && rest.length > 0) begun = Buffer.concat([begun, rest]);
    if (lines.length > 0) yield lines;
  }
  if (begun.length > 0 || tooLong) yield [finish(EMPTY)];
}
