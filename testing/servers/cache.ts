/**
 * Servers that tests need, installed once into .cache/servers of this checkout and never outside.
 *
 *  V1 A folder of the cache appears whole, by one rename: what is there is complete.
 *  V2 Of several processes at once one installs, the others wait for it.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { holding } from "./hold.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
export const SERVERS_FOLDER = path.join(ROOT, ".cache", "servers");

const REPORT_MS = 10_000;

export type Report = (line: string) => void;

export const reportToStderr: Report = (line) => void process.stderr.write(`adtally: ${line}\n`);

/** The folder of `name`, filled by `install` where it is not there yet. */
export async function cached(
  name: string,
  what: string,
  report: Report,
  install: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = path.join(SERVERS_FOLDER, name);
  if (existsSync(folder)) return folder;
  mkdirSync(SERVERS_FOLDER, { recursive: true });
  const waiting = (pid: number) => report(`waiting for process ${pid} to finish installing ${what} …`);
  return holding(`${folder}.pid`, waiting, async () => {
    if (existsSync(folder)) return folder;
    const started = performance.now();
    const seconds = () => Math.round((performance.now() - started) / 1_000);
    report(`installing ${what} into .cache/servers/${name} …`);
    const progress = setInterval(() => report(`installing ${what}, ${seconds()} s`), REPORT_MS);
    const partial = `${folder}.partial`;
    try {
      rmSync(partial, { recursive: true, force: true });
      mkdirSync(partial);
      await install(partial);
      renameSync(partial, folder);
    } finally {
      clearInterval(progress);
      rmSync(partial, { recursive: true, force: true });
    }
    report(`installed ${what} in ${seconds()} s`);
    return folder;
  });
}
