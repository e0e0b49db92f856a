/**
 * Takes ads from a stream of NDJSON into the catalogue: as fast as they come, in bounded memory,
 * giving way to other work between batches.
 *
 * Invariants
 *  I1 A bad line stops nothing: it is counted, and named by its number and reason (the first
 *     `importMaxErrors` of them). lines = imported + rejected, blank lines aside.
 *  I2 What is reported as imported is on disk.
 *  I3 An import that is repeated, or was cut off half way, may be run again as a whole.
 */
import { isUtf8 } from "node:buffer";
import { AdtallyError, isAdtallyError, messageOf } from "../core/errors.ts";
import { idKeyOf } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import type { Ad, Catalogue } from "../ports/catalogue.ts";
import type { Clock } from "../runtime/clock.ts";
import { nextTurn } from "../runtime/turn.ts";
import { parseAd, type AdLimits } from "./ad.ts";
import { linesOf, type Line } from "./lines.ts";
import { ownershipConflict } from "./ownership.ts";

export interface ImportProgress {
  readonly lines: number;
  readonly imported: number;
  readonly rejected: number;
}

export interface ImportError {
  readonly line: number;
  readonly reason: string;
}

export interface ImportResult extends ImportProgress {
  readonly errors: readonly ImportError[];
  /** Why it stopped before the end of its input; absent when it did not. */
  readonly failed?: { readonly code: string; readonly detail: string };
}

export interface ImportDeps {
  readonly catalogue: Catalogue;
  readonly clock: Clock;
  readonly limits: AdLimits &
    Pick<
      Limits,
      "httpImportLineMaxBytes" | "importBatchAds" | "importMaxErrors" | "importProgressIntervalMs"
    >;
}

interface NumberedAd {
  readonly line: number;
  readonly ad: Ad;
}

/** Yields progress about every `importProgressIntervalMs`, and at the end the result. */
export async function* importAds(
  chunks: AsyncIterable<Buffer>,
  deps: ImportDeps,
): AsyncGenerator<ImportProgress | ImportResult> {
  const { catalogue, clock, limits } = deps;
  const total = { lines: 0, imported: 0, rejected: 0 };
  const errors: ImportError[] = [];
  let batch: NumberedAd[] = [];
  let reportedAt = clock.monotonic();

  const reject = (line: number, reason: string) => {
    total.rejected += 1;
    if (errors.length < limits.importMaxErrors) errors.push({ line, reason });
  };
  const take = (line: Line) => {
    const parsed = parseLine(line, limits);
    if (parsed === undefined) return;
    total.lines += 1;
    if (typeof parsed === "string") reject(line.number, parsed);
    else batch.push({ line: line.number, ad: parsed });
  };
  const write = async () => {
    const written = await putAllowed(catalogue, batch, reject);
    total.imported += written;
    batch = [];
    await nextTurn();
  };

  try {
    for await (const lines of linesOf(chunks, limits.httpImportLineMaxBytes)) {
      for (const line of lines) {
        take(line);
        if (batch.length >= limits.importBatchAds) await write();
      }
      if (clock.monotonic() - reportedAt >= limits.importProgressIntervalMs) {
        // What comes slowly is not kept waiting for a full batch.
        if (batch.length > 0) await write();
        reportedAt = clock.monotonic();
        yield { ...total };
      }
    }
    if (batch.length > 0) await write();
  } catch (error) {
    const code = isAdtallyError(error) ? error.code : "ABORTED";
    const detail = "stopped before the end; what is counted as imported is kept: import the whole again";
    yield { ...total, errors: byLine(errors), failed: { code, detail } };
    throw error;
  }
  yield { ...total, errors: byLine(errors) };
}

/** Conflicts are found later than what a line alone shows. */
function byLine(errors: readonly ImportError[]): readonly ImportError[] {
  return errors.toSorted((a, b) => a.line - b.line);
}

/** The line's ad, what is wrong with it, or undefined for a blank line. */
function parseLine({ bytes }: Line, limits: ImportDeps["limits"]): Ad | string | undefined {
  if (bytes === "too-long") return `is longer than ${limits.httpImportLineMaxBytes} bytes`;
  if (!isUtf8(bytes)) return "is not valid UTF-8";
  const text = bytes.toString();
  if (text.trim() === "") return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return `is not JSON: ${messageOf(error)}`;
  }
  const parsed = parseAd(json, limits);
  return parsed.ok
    ? parsed.ad
    : parsed.errors.map(({ field, reason }) => `${field} ${reason}`.trim()).join("; ");
}

/** Writes those of the batch that the catalogue allows, rejects the others; gives how many were written. */
async function putAllowed(
  catalogue: Catalogue,
  batch: readonly NumberedAd[],
  reject: (line: number, reason: string) => void,
): Promise<number> {
  let left = batch;
  while (left.length > 0) {
    try {
      await catalogue.put(left.map(({ ad }) => ad));
      return left.length;
    } catch (error) {
      if (!isAdtallyError(error, "CATALOGUE_CONFLICT")) throw error;
      const allowed = await withoutConflicts(catalogue, left, reject);
      // A conflict that is not to be found would go round for ever.
      if (allowed.length === left.length) {
        throw new AdtallyError("ABORTED", "import: another writer keeps changing the same ads", {
          cause: error,
        });
      }
      left = allowed;
    }
  }
  return 0;
}

async function withoutConflicts(
  catalogue: Catalogue,
  batch: readonly NumberedAd[],
  reject: (line: number, reason: string) => void,
): Promise<readonly NumberedAd[]> {
  const known = new Map(await catalogue.load(batch.map(({ ad }) => idKeyOf(ad.adId))));
  return batch.filter(({ line, ad }) => {
    const key = idKeyOf(ad.adId);
    const conflict = ownershipConflict(known.get(key), ad);
    if (conflict === undefined) known.set(key, ad);
    else reject(line, conflict);
    return conflict === undefined;
  });
}
