/**
 * Which blocks of the log go into one insert of the raw table. Pure: bytes are never copied or
 * changed here.
 *
 *  B1 In one batch, all rows of a shard have one (offset - sequence): the insert adds it to
 *     each row's sequence and so writes the log offset without touching the bytes. Offsets and
 *     a writer's sequences rise together, until another writer appends or a block is repeated.
 *  B2 A block that is not what its header says is poison: it is left out by name, the rest goes on.
 */
import { BLOCK_FORMAT_VERSION, type LogRecord } from "../../block/block.ts";
import { RowAt, rowEnd } from "../../block/row.ts";
import { Reason, Source, Verdict } from "../../core/verdict.ts";

export interface ShardBatch {
  readonly shard: number;
  readonly values: readonly Buffer[];
  readonly rows: number;
  readonly bytes: number;
  /** offset - sequence of all its rows. */
  readonly delta: number;
  /** The offset that ingestion goes on from when this batch is in. */
  readonly nextOffset: number;
}

export interface Poison {
  readonly shard: number;
  readonly offset: number;
  readonly why: string;
}

/** The table's columns are enums: a code that they lack would fail the whole insert. */
const knownCodes = [
  ["source", RowAt.source, new Set<number>(Object.values(Source))],
  ["verdict", RowAt.verdict, new Set<number>(Object.values(Verdict))],
  ["reason", RowAt.reason, new Set<number>(Object.values(Reason))],
] as const;

/** Why a block cannot go into the table as it is, or undefined. */
export function poisonOf(shard: number, { header, value }: LogRecord): string | undefined {
  if (header.formatVersion !== BLOCK_FORMAT_VERSION)
    return `format version ${header.formatVersion}, this program knows ${BLOCK_FORMAT_VERSION}`;
  let rows = 0;
  for (let at = 0; at < value.length; rows++) {
    const end = rowEnd(value, at);
    if (end < 0) return `row ${rows} ends behind the block`;
    if (value.readUInt16LE(at + RowAt.shard) !== shard)
      return `row ${rows} says shard ${value.readUInt16LE(at + RowAt.shard)}, partition ${shard} holds it`;
    if (value.readUInt32LE(at + RowAt.sequence) !== header.sequence)
      return `row ${rows} says block ${value.readUInt32LE(at + RowAt.sequence)}, its header ${header.sequence}`;
    for (const [column, columnAt, codes] of knownCodes) {
      const code = value[at + columnAt]!;
      if (!codes.has(code)) return `row ${rows} has the unknown ${column} ${code}`;
    }
    at = end;
  }
  return rows === header.rowCount ? undefined : `${rows} rows, its header says ${header.rowCount}`;
}

/** The longest run of `records` that one insert can take, with the poison found on the way. */
export function cutBatch(
  shard: number,
  records: readonly LogRecord[],
): {
  readonly batch: ShardBatch | undefined;
  readonly poison: readonly Poison[];
  readonly nextOffset: number;
} {
  const values: Buffer[] = [];
  const poison: Poison[] = [];
  let rows = 0;
  let bytes = 0;
  let delta: number | undefined;
  let nextOffset = records[0]?.offset ?? 0;
  for (const record of records) {
    const why = poisonOf(shard, record);
    if (why !== undefined) poison.push({ shard, offset: record.offset, why });
    else {
      const own = record.offset - record.header.sequence;
      if (delta !== undefined && own !== delta) break;
      delta = own;
      values.push(record.value);
      rows += record.header.rowCount;
      bytes += record.value.length;
    }
    nextOffset = record.offset + 1;
  }
  const batch = delta === undefined ? undefined : { shard, values, rows, bytes, delta, nextOffset };
  return { batch, poison, nextOffset };
}
