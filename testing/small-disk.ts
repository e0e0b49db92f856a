/** A file system of a few megabytes, for tests of full disks: a tmpfs of its own. Needs root, or sudo that asks nothing. */
import { spawnSync } from "node:child_process";
import { mkdtemp, rmdir } from "node:fs/promises";
import os from "node:os";
import path from "node:path";

export interface SmallDisk {
  readonly dir: string;
  resize(mebibytes: number): void;
  remove(): Promise<void>;
}

/** Runs it as it is, then by sudo; what was said where both are refused. */
function asRoot(command: string, args: readonly string[]): string | undefined {
  let said = "";
  for (const [name, before] of [
    [command, []],
    ["sudo", ["-n", command]],
  ] as const) {
    const { status, stderr, error } = spawnSync(name, [...before, ...args], { encoding: "utf8" });
    if (status === 0) return undefined;
    said = `${said} ${(stderr || String(error)).trim()}`.trim();
  }
  return said;
}

function orThrow(refusal: string | undefined): void {
  if (refusal !== undefined) throw new Error(refusal);
}

/** @throws where no file system may be mounted here */
export async function mountSmallDisk(mebibytes: number): Promise<SmallDisk> {
  const dir = await mkdtemp(path.join(os.tmpdir(), "adtally-small-disk-"));
  const refusal = asRoot("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m,mode=1777`, "tmpfs", dir]);
  if (refusal !== undefined) {
    await rmdir(dir);
    throw new Error(refusal);
  }
  return {
    dir,
    resize: (to) => orThrow(asRoot("mount", ["-o", `remount,size=${to}m`, dir])),
    async remove() {
      orThrow(asRoot("umount", [dir]));
      await rmdir(dir);
    },
  };
}

/** Why no small disk can be had here, told loudly; a continuous integration must have one. */
export async function smallDiskLacks(): Promise<string | undefined> {
  try {
    await (await mountSmallDisk(1)).remove();
    return undefined;
  } catch (error) {
    const lacks = `SMALL DISK: not available: ${error instanceof Error ? error.message : String(error)}`;
    if (process.env["CI"] === "true") throw new Error(lacks, { cause: error });
    process.stderr.write(`${lacks}\n`);
    return lacks;
  }
}
