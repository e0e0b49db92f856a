/** What the system says of processes: children, CPU time, memory. Linux only (/proc). */
import { readdir, readFile } from "node:fs/promises";

/** Clock ticks of /proc/PID/stat: 100 a second on every Linux that Node runs on. */
const TICK_US = 10_000;

interface Stat {
  readonly parent: number;
  readonly cpuUs: number;
  /** Of its children that have ended. */
  readonly childrenUs: number;
}

async function statOf(pid: number): Promise<Stat | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name before it may hold spaces and brackets.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const ticks = (at: number) => Number(fields[at]) + Number(fields[at + 1]);
    return { parent: Number(fields[1]), cpuUs: ticks(11) * TICK_US, childrenUs: ticks(13) * TICK_US };
  } catch {
    return undefined;
  }
}

/** User and system time of all threads so far; 0 for a process that is gone. */
export async function cpuUsOf(pid: number): Promise<number> {
  return (await statOf(pid))?.cpuUs ?? 0;
}

/** The same of its children that have ended, and of theirs. */
export async function endedChildrenCpuUsOf(pid: number): Promise<number> {
  return (await statOf(pid))?.childrenUs ?? 0;
}

export async function childrenOf(pid: number): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = await Promise.all(pids.map(async (each) => [each, await statOf(each)] as const));
  return stats.filter(([, stat]) => stat?.parent === pid).map(([each]) => each);
}

/** The child of `pid` whose command line holds `part`. */
export async function childRunning(pid: number, part: string): Promise<number | undefined> {
  for (const child of await childrenOf(pid)) {
    const command = await readFile(`/proc/${child}/cmdline`, "utf8").catch(() => "");
    if (command.includes(part)) return child;
  }
  return undefined;
}

/** Of all cores and processes since the machine's start: what ran, and what a host above it took away. */
export async function machineCpuUs(): Promise<{ readonly ranUs: number; readonly stolenUs: number }> {
  const [line = ""] = (await readFile("/proc/stat", "utf8")).split("\n", 1);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, stolen = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return { ranUs: (user + nice + system + irq + softirq) * TICK_US, stolenUs: stolen * TICK_US };
}

/** Cores that others held between two readings, while `ownUs` were ours: a disturbed measurement shows. */
export function coresOfOthers(
  before: Awaited<ReturnType<typeof machineCpuUs>>,
  after: Awaited<ReturnType<typeof machineCpuUs>>,
  ownUs: number,
  ms: number,
): number {
  const othersUs = after.ranUs - before.ranUs - ownUs + after.stolenUs - before.stolenUs;
  return Math.round((Math.max(0, othersUs) / (ms * 1_000)) * 100) / 100;
}
