/**
 * How far a RocksDB directory had been written, kept beside RocksDB's own files. RocksDB opens a
 * write-ahead log that is damaged in the middle as if it ended there, and so forgets writes that
 * were acknowledged; nothing can rebuild a catalogue or a key.
 *
 * The note is not synced: a kill leaves it in the page cache, and after a loss of power it may
 * say too little, never too much.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";

const FILE = "ADTALLY-WRITTEN";
const DIGITS = 16;

export interface Written {
  /** The highest sequence that an earlier life noted; 0 when none did. */
  readonly before: number;
  note(sequence: number): void;
  close(): void;
}

function encode(sequence: number): string {
  const digits = String(sequence).padStart(DIGITS, "0");
  return `${digits} ${crc32(digits).toString(16).padStart(8, "0")}\n`;
}

/** 0 for a note that is not there, or damaged itself. */
function decode(text: string): number {
  const sequence = Number(text.slice(0, DIGITS));
  return Number.isSafeInteger(sequence) && encode(sequence) === text ? sequence : 0;
}

export function writtenPath(dir: string): string {
  return join(dir, FILE);
}

export function openWritten(dir: string): Written {
  const path = writtenPath(dir);
  const file = openSync(path, "a+", 0o600);
  closeSync(file);
  const before = decode(readFileSync(path, "utf8"));
  const target = openSync(path, "r+");
  return {
    before,
    note: (sequence) => void writeSync(target, encode(sequence), 0),
    close: () => closeSync(target),
  };
}
