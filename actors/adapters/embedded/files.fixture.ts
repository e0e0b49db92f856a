/**
 * The real files with faults to order, for tests: what the disk does under the log, not a stand-in
 * for the log. It also remembers, per file, how far it has been synced.
 */
import { nodeFiles, type Files, type OpenFile } from "./files.ts";
import { INDEX_SUFFIX } from "./segment.ts";

export interface FaultyFiles extends Files {
  /** The next write fails and leaves half of its bytes. */
  failNextWrite: (() => Error) | undefined;
  /** The next sync of frames fails (a new segment's header is let through); what was written stays, for now. */
  failNextSync: (() => Error) | undefined;
  /** While set, syncs wait for it. */
  holdSync: Promise<void> | undefined;
  /** Syncs that wait now. */
  held: number;
  /** Bytes of each segment file that a sync has covered. */
  readonly synced: ReadonlyMap<string, number>;
  syncs: number;
  /** Files opened for reading. */
  opens: number;
  /** Every write to a segment file, in order. */
  readonly writes: { readonly at: number; readonly bytes: number }[];
}

export function diskError(code: "EIO" | "ENOSPC"): Error {
  return Object.assign(new Error(`${code}: ordered by the test`), { code });
}

export function makeFaultyFiles(): FaultyFiles {
  const synced = new Map<string, number>();
  const faulty: FaultyFiles = {
    ...nodeFiles,
    failNextWrite: undefined,
    failNextSync: undefined,
    holdSync: undefined,
    held: 0,
    synced,
    syncs: 0,
    opens: 0,
    writes: [],
    async open(path, mode): Promise<OpenFile> {
      const file = await nodeFiles.open(path, mode);
      if (mode === "read") faulty.opens += 1;
      if (mode === "read" || path.includes(INDEX_SUFFIX)) return file;
      let hasFrames = false;
      return {
        ...file,
        async write(buffers, at) {
          hasFrames ||= at > 0;
          faulty.writes.push({ at, bytes: buffers.reduce((sum, { length }) => sum + length, 0) });
          const fail = faulty.failNextWrite;
          if (fail === undefined) return file.write(buffers, at);
          faulty.failNextWrite = undefined;
          const all = Buffer.concat(buffers);
          await file.write([all.subarray(0, all.length >>> 1)], at);
          throw fail();
        },
        async sync() {
          const size = await file.size();
          faulty.held += 1;
          await faulty.holdSync;
          faulty.held -= 1;
          const fail = hasFrames ? faulty.failNextSync : undefined;
          if (hasFrames) faulty.failNextSync = undefined;
          if (fail !== undefined) throw fail();
          await file.sync();
          faulty.syncs += 1;
          synced.set(path.replace(/\.new$/, ""), size);
        },
      };
    },
  };
  return faulty;
}
