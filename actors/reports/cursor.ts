/**
 * Where a page ended: told to the caller as one opaque word, and taken back with the same
 * question. It pins the time, so that a question relative to now stays one of the same span; what
 * it says is checked like anything that a caller writes, and grants nothing.
 */
import type { Position, ReportQuery } from "./query.ts";

export interface Cursor {
  readonly fromMs: number;
  readonly toMs: number;
  readonly after: Position;
}

const VERSION = 1;
const LAST_MS = Date.UTC(2105, 0, 1);
const MAX_CHARACTERS = 512;
const MAX_PARTS = 8;

export function writeCursor(
  { fromMs, toMs, fingerprint }: Pick<ReportQuery, "fromMs" | "toMs" | "fingerprint">,
  after: Position,
): string {
  return Buffer.from(JSON.stringify([VERSION, fingerprint, fromMs, toMs, after])).toString("base64url");
}

/** Undefined for what was not told for that question. */
export function readCursor(text: string, fingerprint: string): Cursor | undefined {
  if (text.length > MAX_CHARACTERS || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(text, "base64url").toString());
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts) || parts.length !== 5) return undefined;
  const [version, of, fromMs, toMs, after] = parts as readonly unknown[];
  const isTime = (value: unknown): value is number =>
    Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < LAST_MS;
  if (version !== VERSION || of !== fingerprint || !isTime(fromMs) || !isTime(toMs)) return undefined;
  return isPosition(after) ? { fromMs, toMs, after } : undefined;
}

const isPosition = (value: unknown): value is Position =>
  Array.isArray(value) &&
  value.length >= 2 &&
  value.length <= MAX_PARTS &&
  value.slice(0, 2).every((part) => typeof part === "number") &&
  value.slice(2).every((part) => part === null || typeof part === "string");
