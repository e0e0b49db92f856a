/**
 * What this process uses, of what it may use.
 *
 *  M1 What it may use is its control group's limit, and that of every group around it; the machine's
 *     where there is none.
 *  M2 A program of ours computes on its main thread: that one is full before many cores are. So the
 *     fuller of the two is told: all threads of all that is allowed, or the main thread of one core.
 */
import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import path from "node:path";
import type { Memory } from "../../actors/load/report.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import { createRecentRate } from "../../actors/runtime/recent-rate.ts";

export interface ProcessLoad {
  /** Over the last span. */
  cpuPercent(): number;
  memory(): Memory;
  close(): void;
}

const GROUPS = "/sys/fs/cgroup";

/** The text of a file, or undefined where it cannot be read. */
type Read = (file: string) => string | undefined;

const readText: Read = (file) => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
};

/** Cores that the control groups allow; undefined: as many as there are (M1). */
export function allowedCores(read: Read = readText): number | undefined {
  const own = (read("/proc/self/cgroup") ?? "").split("\n").map((line) => line.split(":"));
  const unified = own.find(([id]) => id === "0")?.[2];
  const cpu = own.find(([, kinds]) => kinds?.split(",").includes("cpu"));
  const limits: number[] = [];
  const note = (quota: string | undefined, period: string | undefined): void => {
    const cores = Number(quota) / Number(period);
    if (Number.isFinite(cores) && cores > 0) limits.push(cores);
  };
  for (const group of groupsAround(unified)) {
    const [quota, period] = (read(path.join(GROUPS, group, "cpu.max")) ?? "").trim().split(" ");
    note(quota, period);
  }
  // Within a container the first version's files often stand at the top, whatever the group's name.
  const first = cpu === undefined ? [] : groupsAround(cpu[2]);
  for (const group of first) {
    const at = path.join(GROUPS, cpu![1]!, group);
    note(read(path.join(at, "cpu.cfs_quota_us"))?.trim(), read(path.join(at, "cpu.cfs_period_us"))?.trim());
  }
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** "/a/b": itself, "/a", "/". */
function groupsAround(group: string | undefined): readonly string[] {
  if (group === undefined) return [];
  const parts = group.split("/").filter((part) => part !== "" && part !== "..");
  return [...parts.keys(), parts.length].map((count) => `/${parts.slice(0, count).join("/")}`);
}

const MICROS = 1e6;

export function measureProcess(clock: Clock, spanMs: number): ProcessLoad {
  const sum = ({ user, system }: NodeJS.CpuUsage) => user + system;
  const all = createRecentRate(clock, spanMs, () => sum(process.cpuUsage()));
  const main = createRecentRate(clock, spanMs, () => sum(process.threadCpuUsage()));
  return {
    cpuPercent() {
      const machine = availableParallelism();
      const cores = Math.min(allowedCores() ?? machine, machine);
      const [ofAll, ofMain] = [
        all.perSecond() / MICROS / cores,
        main.perSecond() / MICROS / Math.min(1, cores),
      ];
      return 100 * Math.max(ofAll, ofMain);
    },
    memory() {
      const limit = process.constrainedMemory();
      const machine = totalmem();
      return {
        residentBytes: process.memoryUsage.rss(),
        limitBytes: limit > 0 && limit < machine ? limit : machine,
      };
    },
    close() {
      all.close();
      main.close();
    },
  };
}
