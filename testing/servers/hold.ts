/**
 * One process at a time does a piece of work that several may want at once: a file with its pid,
 * made by a link, which appears whole or not at all. Of a holder that died nothing is left to
 * wait for.
 */
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 200;

export async function holding<T>(
  file: string,
  onWaiting: (pid: number) => void,
  work: () => Promise<T>,
): Promise<T> {
  let told = false;
  for (;;) {
    const holder = take(file);
    if (holder === process.pid) break;
    if (holder !== undefined && !told) {
      onWaiting(holder);
      told = true;
    }
    await sleep(holder === undefined ? 0 : POLL_MS);
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

/** The pid that holds the file now; undefined where a holder has just let go, or died. */
function take(file: string): number | undefined {
  const own = `${file}.${process.pid}`;
  writeFileSync(own, String(process.pid));
  try {
    linkSync(own, file);
    return process.pid;
  } catch (error) {
    if (!isCode(error, "EEXIST")) throw error;
  } finally {
    rmSync(own, { force: true });
  }
  const holder = readHolder(file);
  if (holder === undefined || isAlive(holder)) return holder;
  rmSync(file, { force: true });
  return undefined;
}

function readHolder(file: string): number | undefined {
  try {
    return Number(readFileSync(file, "utf8")) || undefined;
  } catch (error) {
    if (isCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isCode(error, "EPERM");
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
