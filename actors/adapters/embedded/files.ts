/**
 * Files: the few file operations that the click log needs, behind an interface so that a test
 * can make writes and syncs fail, or hold them back, under the real log.
 */
import { mkdir, open, readdir, rename, rm, type FileHandle } from "node:fs/promises";

export interface OpenFile {
  size(): Promise<number>;
  /** Fills `target` from file offset `at`; returns less than its length only at the file's end. */
  read(target: Buffer, at: number): Promise<number>;
  /** Writes all of the buffers, or rejects. */
  write(buffers: readonly Buffer[], at: number): Promise<void>;
  /** Resolves when all that was written is on disk (fdatasync). */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

export interface Files {
  /** "create" truncates what is there. */
  open(path: string, mode: "read" | "update" | "create"): Promise<OpenFile>;
  list(dir: string): Promise<readonly string[]>;
  makeDir(dir: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** No error where the file is already gone. */
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in `dir` durable. */
  syncDir(dir: string): Promise<void>;
}

const FLAGS = { read: "r", update: "r+", create: "w+" } as const;

async function readFully(handle: FileHandle, target: Buffer, at: number): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const { bytesRead } = await handle.read(target, done, target.length - done, at + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

async function writeFully(handle: FileHandle, buffers: readonly Buffer[], at: number): Promise<void> {
  const total = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
  let { bytesWritten: done } = await handle.writev(buffers, at);
  if (done === total) return;
  // A short write: the next attempt either goes on or names the error (ENOSPC, EIO).
  const all = Buffer.concat(buffers);
  while (done < total) done += (await handle.write(all, done, total - done, at + done)).bytesWritten;
}

export const nodeFiles: Files = {
  async open(path, mode) {
    const handle = await open(path, FLAGS[mode]);
    return {
      size: async () => (await handle.stat()).size,
      read: (target, at) => readFully(handle, target, at),
      write: (buffers, at) => writeFully(handle, buffers, at),
      sync: () => handle.datasync(),
      truncate: (size) => handle.truncate(size),
      close: () => handle.close(),
    };
  },
  list: (dir) => readdir(dir),
  makeDir: async (dir) => void (await mkdir(dir, { recursive: true })),
  rename,
  remove: (path) => rm(path, { force: true }),
  async syncDir(dir) {
    const handle = await open(dir, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};
