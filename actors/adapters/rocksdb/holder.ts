/**
 * Which process has a RocksDB directory open: RocksDB's lock knows, and does not tell. A note
 * beside the lock, for people alone: it is read only where the lock is held, so the note of a
 * process that was killed misleads nobody, and one that cannot be written hinders nothing.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const noteOf = (dir: string) => join(dir, "ADTALLY-HOLDER");

export function noteHolder(dir: string): void {
  try {
    writeFileSync(noteOf(dir), `${process.pid}\n`, { mode: 0o600 });
  } catch {
    // A full disk is found by whoever writes what counts.
  }
}

export function forgetHolder(dir: string): void {
  try {
    rmSync(noteOf(dir), { force: true });
  } catch {
    // As above.
  }
}

/** As part of a sentence. */
export function readHolder(dir: string): string {
  try {
    const pid = /^\d+$/.exec(readFileSync(noteOf(dir), "utf8").trim())?.[0];
    if (pid !== undefined) return pid === String(process.pid) ? "this very process" : `process ${pid}`;
  } catch {
    // No note, or none that can be read.
  }
  return "another process";
}
