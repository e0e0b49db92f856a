/**
 * A program of a Debian package: the one on the PATH, or the package with all that it depends on
 * and the machine lacks, unpacked into the cache. Packages are downloaded and not installed: no
 * service of the machine is started, no file outside the cache is written but apt's own lists.
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { cached, type Report } from "./cache.ts";
import { hasCommand, runCommand } from "./command.ts";

export interface DebianProgram {
  /** As people say it: "Redis". */
  readonly what: string;
  readonly package: string;
  /** Its executable, in usr/bin of the package. */
  readonly command: string;
  /** Of the cache. */
  readonly folder: string;
}

export interface InstalledProgram {
  readonly command: string;
  /** To be added to the environment: where its libraries are. */
  readonly env: Readonly<Record<string, string>>;
}

/** Asked of the shell: not every program has a call that does nothing and ends well. */
const isOnPath = (command: string) => hasCommand("sh", "-c", 'command -v "$0"', command);

/** Why it cannot be had on this machine; undefined where it can. */
export async function debianProgramLacks(program: DebianProgram): Promise<string | undefined> {
  const { command, what } = program;
  if (await isOnPath(command)) return undefined;
  if (!(await hasCommand("apt-get", "--version"))) {
    return `${command} is missing, and so is apt-get to fetch it: install ${what} (${command}), then start again`;
  }
  if (process.getuid?.() !== 0) {
    return `${command} is missing, and apt-get needs root: install ${what} (${command}), then start again`;
  }
  return undefined;
}

/** @throws Error that says what is missing */
export async function installDebianProgram(
  program: DebianProgram,
  report: Report,
): Promise<InstalledProgram> {
  const { command, what, folder: name } = program;
  if (await isOnPath(command)) return { command, env: {} };
  const folder = await cached(name, what, report, (into) => unpack(program, into));
  const libraries = path.join(folder, "usr", "lib");
  const withLibraries = (existsSync(libraries) ? readdirSync(libraries) : [])
    .map((each) => path.join(libraries, each))
    .filter((each) => readdirSync(each).some((file) => file.includes(".so")));
  return {
    command: path.join(folder, "usr", "bin", command),
    env: { LD_LIBRARY_PATH: withLibraries.join(":") },
  };
}

async function unpack(program: DebianProgram, folder: string): Promise<void> {
  const lacking = await debianProgramLacks(program);
  if (lacking !== undefined) throw new Error(`${program.what} cannot be installed: ${lacking}`);
  await unpackDebianPackages([program.package], folder);
  if (!existsSync(path.join(folder, "usr", "bin", program.command))) {
    throw new Error(`apt-get fetched no package that holds ${program.command}`);
  }
}

/** The packages with all that they depend on and the machine lacks. */
export async function unpackDebianPackages(packages: readonly string[], folder: string): Promise<void> {
  const archives = path.join(folder, "archives");
  mkdirSync(path.join(archives, "partial"), { recursive: true });
  await runCommand("apt-get", ["update", "-qq"]);
  const to = ["-o", `Dir::Cache::archives=${archives}`];
  const how = ["-y", "-qq", "--no-install-recommends", "--download-only"];
  await runCommand("apt-get", ["install", ...how, ...to, ...packages]);
  await unpackAll(archives, folder);
}

/** The packages by themselves, whether the machine has them or not. */
export async function fetchDebianPackages(packages: readonly string[], folder: string): Promise<void> {
  if (!(await hasCommand("apt-get", "--version"))) {
    throw new Error(`${packages.join(", ")} cannot be fetched: apt-get is missing; use Debian or Ubuntu`);
  }
  const archives = path.join(folder, "archives");
  mkdirSync(archives);
  await runCommand("apt-get", ["download", "-qq", ...packages], { cwd: archives });
  await unpackAll(archives, folder);
}

/** Each archive of the first folder into the second; the first is gone then. */
async function unpackAll(archives: string, folder: string): Promise<void> {
  for (const name of readdirSync(archives).filter((each) => each.endsWith(".deb"))) {
    await runCommand("dpkg", ["-x", path.join(archives, name), folder]);
  }
  rmSync(archives, { recursive: true });
}
