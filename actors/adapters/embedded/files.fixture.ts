/**
 * The real files with faults to order, for tests: what the disk does under the log, not a stand-in
 * for the log. It also remembers, per file, how far it has been synced.
 */
import { nodeFiles, type Files, type OpenFile } from "./files.ts";

export interface FaultyFiles extends Files {
  /** The next write fails and leaves half of its bytes. */
  failNextWrite: (() => Error) | undefined;
  /** The next sync of frames fails (a new segment's header is let through); what was written stays, for now. */
  failNextSync: (() => Error) | undefined;
  /** While set, syncs wait for it. */
  holdSync: Promise<void> | undefined;
  /** Bytes of each segment file that a sync has covered. */
  readonly synced: ReadonlyMap<string, number>;
  syncs: number;
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
    synced,
    syncs: 0,
    async open(path, mode): Promise<OpenFile> {
      const file = await nodeFiles.open(path, mode);
      if (mode === "read") return file;
      let hasFrames = false;
      return {
        ...file,
        async write(buffers, at) {
          hasFrames ||= at > 0;
          const fail = faulty.failNextWrite;
          if (fail === undefined) return file.write(buffers, at);
          faulty.failNextWrite = undefined;
          const all = Buffer.concat(buffers);
          await file.write([all.subarray(0, all.length >>> 1)], at);
          throw fail();
        },
        async sync() {
          const size = await file.size();
          await faulty.holdSync;
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
