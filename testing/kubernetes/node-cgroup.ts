/**
 * A cgroup of a node's own in every hierarchy that this process is in: the node's pods are held
 * and counted below it, and it goes with the node. One left by a process that died is removed by
 * the next who makes one.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive } from "../servers/hold.ts";

const MOUNTS = "/sys/fs/cgroup";
const NAME = /^adtally-node-(\d+)$/;
const REMOVE_MS = 10_000;

export interface NodeCgroup {
  readonly version: 1 | 2;
  /** Whoever writes its pid into each of these is in the cgroup. */
  readonly procs: readonly string[];
  /** Resolves when it is gone; what runs in it must have been killed. */
  remove(): Promise<void>;
}

export function createNodeCgroup(): NodeCgroup {
  const version = existsSync(path.join(MOUNTS, "cgroup.controllers")) ? 2 : 1;
  const folders = parentsOf(version).map((parent) => {
    for (const name of readdirSync(parent)) {
      const pid = NAME.exec(name)?.[1];
      if (pid !== undefined && !isAlive(Number(pid))) tryRemove(path.join(parent, name));
    }
    const folder = path.join(parent, `adtally-node-${process.pid}`);
    mkdirSync(folder, { recursive: true });
    // A new cpuset has neither processors nor memory, and takes no process.
    for (const file of version === 1 ? ["cpuset.cpus", "cpuset.mems"] : []) {
      const from = path.join(parent, file);
      if (existsSync(from)) writeFileSync(path.join(folder, file), readFileSync(from));
    }
    return folder;
  });
  return {
    version,
    procs: folders.map((folder) => path.join(folder, "cgroup.procs")),
    async remove() {
      const giveUpAt = performance.now() + REMOVE_MS;
      while (!folders.map(tryRemove).every(Boolean)) {
        if (performance.now() > giveUpAt) throw new Error(`cgroups are still in use: ${folders.join(", ")}`);
        await sleep(50);
      }
    },
  };
}

/** Where this process is, in each hierarchy that is mounted where one looks for it. */
function parentsOf(version: 1 | 2): readonly string[] {
  const own = readFileSync("/proc/self/cgroup", "utf8").trim().split("\n");
  const folders = own.map((line) => {
    const [, controllers = "", ...at] = line.split(":");
    const hierarchy =
      controllers === "" ? (version === 2 ? "" : "unified") : controllers.replace("name=", "");
    return path.join(MOUNTS, hierarchy, at.join(":"));
  });
  return folders.filter((folder) => existsSync(folder));
}

/** With all below it; whether it is gone. */
function tryRemove(folder: string): boolean {
  if (!existsSync(folder)) return true;
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) tryRemove(path.join(folder, entry.name));
    }
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}
