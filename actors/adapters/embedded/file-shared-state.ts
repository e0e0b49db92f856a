/**
 * A SharedState in a file, for programs of one machine, and for what is mounted into a pod.
 *
 *  F1 A text is written beside the file, synced, renamed over it, and the folder synced: a reader
 *     finds the old text or the new one, whole, also after a power cut.
 *  F2 A watcher looks every `pollMs` whether the file's time, size or inode changed (a rename, an
 *     edit in place, a swapped symbolic link), one look at a time, so that texts keep their order.
 *  F3 A text that was being written in place while it was read is read again.
 *  F4 A file that is gone, or cannot be read, changes nothing for watchers.
 *  F5 Whoever replaces a text holds a file beside it while he compares and renames, so that of two
 *     programs one replaces. One that was left by a killed program is taken over after `deadlineMs`.
 */
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { AdtallyError, messageOf } from "../../core/errors.ts";
import type { SharedState } from "../../ports/shared-state.ts";
import type { Clock } from "../../runtime/clock.ts";
import { withDeadline } from "../../runtime/deadline.ts";
import type { Logger } from "../../runtime/log.ts";
import { nodeFiles } from "./files.ts";

export interface FileSharedStateOptions {
  readonly path: string;
  readonly pollMs: number;
  /** How long a caller waits for the disk. */
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

const HELD_LOOK_MS = 5;
/** Of all documents of this process: names what is written beside them. */
let publications = 0;

interface Watcher {
  readonly onText: (text: string) => void;
  seen: string | undefined;
}

export function createFileSharedState(options: FileSharedStateOptions): SharedState {
  const { path: file, pollMs, deadlineMs, clock, logger } = options;
  const watchers = new Set<Watcher>();
  let looked = "";
  let isLooking = false;
  let publishing: Promise<void> = Promise.resolve();

  const attempt = async <T>(what: string, work: Promise<T>): Promise<T> => {
    try {
      return await withDeadline(clock, deadlineMs, what, work);
    } catch (error) {
      throw new AdtallyError("SHARED_STATE_UNAVAILABLE", `${what} ${file}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  };

  /** F1. `within` is given what puts the text, written already, in its place. */
  const write = async <T>(text: string, within: (put: () => Promise<void>) => Promise<T>): Promise<T> => {
    await mkdir(path.dirname(file), { recursive: true });
    publications += 1;
    const beside = `${file}.${process.pid}-${publications}.tmp`;
    let isPut = false;
    const put = async (): Promise<void> => {
      await rename(beside, file);
      isPut = true;
    };
    let result: T;
    try {
      const handle = await open(beside, "w");
      try {
        await handle.writeFile(text);
        await handle.sync();
      } finally {
        await handle.close();
      }
      result = await within(put);
      if (!isPut) await rm(beside, { force: true });
    } catch (error) {
      await rm(beside, { force: true });
      throw error;
    }
    await nodeFiles.syncDir(path.dirname(file));
    return result;
  };

  /** F5 */
  const holding = async <T>(work: () => Promise<T>): Promise<T> => {
    const held = `${file}.held`;
    for (;;) {
      try {
        await (await open(held, "wx")).close();
        break;
      } catch (error) {
        if (!hasCode(error, "EEXIST")) throw error;
      }
      const since = await stat(held).catch(() => undefined);
      if (since !== undefined && clock.now() - since.mtimeMs > deadlineMs) await rm(held, { force: true });
      else await new Promise<void>((resolve) => clock.after(HELD_LOOK_MS, resolve));
    }
    try {
      return await work();
    } finally {
      await rm(held, { force: true });
    }
  };

  const current = async (): Promise<string | undefined> => {
    try {
      return await readFile(file, "utf8");
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  };

  /** One after the other: the last one called is the one that stays. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const own = publishing.then(work);
    publishing = own.then(
      () => undefined,
      () => undefined,
    );
    return attempt("writing", own);
  };

  const tell = (watcher: Watcher, text: string): void => {
    if (watcher.seen === text || !watchers.has(watcher)) return;
    watcher.seen = text;
    try {
      watcher.onText(text);
    } catch (error) {
      logger.error({ file, error: messageOf(error) }, "a watcher of a shared document threw");
    }
  };
  /** Reads the file where it changed since the last look. */
  const look = async (): Promise<void> => {
    const before = await identityOf(file);
    if (before === looked && [...watchers].every(({ seen }) => seen !== undefined)) return;
    const text = await readFile(file, "utf8");
    if ((await identityOf(file)) !== before) return; // F3: the next look reads it.
    looked = before;
    for (const watcher of watchers) tell(watcher, text);
  };
  const keepLooking = async (): Promise<void> => {
    if (isLooking) return;
    isLooking = true;
    let told = "";
    while (watchers.size > 0) {
      try {
        await look();
        told = "";
      } catch (error) {
        const why = isMissing(error) ? "" : messageOf(error);
        if (why !== told)
          logger.warn({ file, error: why }, "a shared document cannot be read; looking again");
        told = why;
      }
      await new Promise<void>((resolve) => clock.after(pollMs, resolve));
    }
    isLooking = false;
  };

  return {
    read: () => attempt("reading", current()),

    publish: (text) => inTurn(() => write(text, (put) => put())),

    replace: (expected, text) =>
      inTurn(() =>
        write(text, (put) =>
          holding(async () => {
            if ((await current()) !== expected) return false;
            await put();
            return true;
          }),
        ),
      ),

    watch(onText) {
      const watcher: Watcher = { onText, seen: undefined };
      watchers.add(watcher);
      void keepLooking();
      return { close: () => void watchers.delete(watcher) };
    },
  };
}

async function identityOf(file: string): Promise<string> {
  const { mtimeNs, ctimeNs, size, ino } = await stat(file, { bigint: true });
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}

const isMissing = (error: unknown): boolean => hasCode(error, "ENOENT");

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
