/**
 * The audit log in files of a program's own data folder: JSON lines, the newest file `audit.jsonl`,
 * older ones numbered. Not a table of ClickHouse's: a gateway, where keys are made, has no connection
 * to it and shall have none, and what was done must be readable while ClickHouse is down. Each program
 * keeps what was done at itself; its log (level info) says the same, for who gathers logs.
 *
 *  G1 Bounded: `auditFiles` files of about `auditFileMaxBytes`; of lines that wait for the disk
 *     `auditPendingMaxLines`, past which lines are dropped and the log says so.
 *  G2 A flood of refusals is one line per caller, route and outcome in `auditRepeatMs`; the next such
 *     line says how many there were in between.
 */
import { appendFile, mkdir, readFile, rename, stat } from "node:fs/promises";
import path from "node:path";
import { LRUCache } from "lru-cache";
import { messageOf } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { Audit, AuditEntry } from "../../keys/audit.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";

export interface FileAuditDeps {
  /** Undefined: the last lines are kept in memory alone. */
  readonly dir: string | undefined;
  readonly limits: Pick<
    Limits,
    "auditFiles" | "auditFileMaxBytes" | "auditPendingMaxLines" | "auditRepeatMs"
  >;
  readonly clock: Pick<Clock, "now">;
  readonly logger: Logger;
}

export interface FileAudit extends Audit {
  /** Resolves when all that was noted is written. */
  flush(): Promise<void>;
}

const REMEMBERED_REFUSALS = 1_024;

export async function openFileAudit({ dir, limits, clock, logger }: FileAuditDeps): Promise<FileAudit> {
  if (dir !== undefined) await mkdir(dir, { recursive: true, mode: 0o700 });
  const nameOf = (n: number) => path.join(dir ?? "", n === 0 ? "audit.jsonl" : `audit.${n}.jsonl`);
  let size = dir === undefined ? 0 : await sizeOf(nameOf(0));
  let lastId = 0;
  let pending: AuditEntry[] = [];
  let kept: AuditEntry[] = [];
  let writing: Promise<void> = Promise.resolve();
  const refusals = new LRUCache<string, { sinceMs: number; repeated: number }>({ max: REMEMBERED_REFUSALS });

  async function rotate(): Promise<void> {
    for (let n = limits.auditFiles - 2; n >= 0; n--) {
      await rename(nameOf(n), nameOf(n + 1)).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      });
    }
    size = 0;
  }

  async function write(): Promise<void> {
    const lines = pending;
    pending = [];
    if (lines.length === 0) return;
    if (dir === undefined) {
      kept = [...kept, ...lines].slice(-limits.auditPendingMaxLines);
      return;
    }
    try {
      const bytes = Buffer.from(lines.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
      if (size > 0 && size + bytes.length > limits.auditFileMaxBytes) await rotate();
      await appendFile(nameOf(0), bytes, { mode: 0o600 });
      size += bytes.length;
    } catch (error) {
      logger.error({ error: messageOf(error), lines: lines.length }, "audit lines could not be written");
    }
  }

  const flush = (): Promise<void> => (writing = writing.then(write));

  /** G2: undefined where it is one of many. */
  function repeatsOf(what: string, nowMs: number): number | undefined {
    const known = refusals.get(what);
    if (known !== undefined && nowMs - known.sinceMs < limits.auditRepeatMs) {
      known.repeated += 1;
      return undefined;
    }
    refusals.set(what, { sinceMs: nowMs, repeated: 0 });
    return known?.repeated ?? 0;
  }

  return {
    note(event) {
      const atMs = clock.now();
      const { keyId, method, route, status } = event;
      const repeated =
        event.outcome === "refused" ? repeatsOf(JSON.stringify([keyId, method, route, status]), atMs) : 0;
      if (repeated === undefined) return;
      logger.info({ audit: event }, `key use: ${event.outcome}`);
      if (pending.length >= limits.auditPendingMaxLines) {
        logger.error({ audit: event }, "an audit line is dropped: the disk does not keep up");
        return;
      }
      lastId = Math.max(lastId + 1, atMs * 1_000);
      pending.push({ ...event, id: lastId, atMs, repeated });
      void flush();
    },
    flush,
    async list(limit, before = Infinity) {
      await flush();
      const found: AuditEntry[] = [];
      const take = (entries: readonly AuditEntry[]) => {
        for (const entry of entries.toReversed()) {
          if (found.length >= limit) return;
          if (entry.id < before) found.push(entry);
        }
      };
      if (dir === undefined) take(kept);
      for (let n = 0; dir !== undefined && n < limits.auditFiles && found.length < limit; n++)
        take(await entriesOf(nameOf(n)));
      return found;
    },
  };
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}

/** A line that a crash left half written is passed over. */
async function entriesOf(file: string): Promise<readonly AuditEntry[]> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return text.split("\n").flatMap((line) => {
    try {
      return line === "" ? [] : [JSON.parse(line) as AuditEntry];
    } catch {
      return [];
    }
  });
}
