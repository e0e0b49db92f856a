/** CPU time of the three processes of a load test: program, ClickHouse engine, client. */
import { cpuUsOf, endedChildrenCpuUsOf } from "./processes.ts";
import { enginePid, type Program } from "./program.ts";

export interface CpuTimes {
  readonly programUs: number;
  readonly engineUs: number;
  /** This process, and the load generators that it has run. */
  readonly clientUs: number;
}

export async function readCpu(program: Program): Promise<CpuTimes> {
  const engine = await enginePid(program);
  const { user, system } = process.cpuUsage();
  return {
    programUs: await cpuUsOf(program.pid),
    engineUs: engine === undefined ? 0 : await cpuUsOf(engine),
    clientUs: user + system + (await endedChildrenCpuUsOf(process.pid)),
  };
}

/** Microseconds of CPU a click since `before`, by process, under names for a report. */
export async function cpuSince(program: Program, before: CpuTimes, clicks: number) {
  const now = await readCpu(program);
  const each = (us: number) => Math.round((us / clicks) * 100) / 100;
  const programUs = each(now.programUs - before.programUs);
  const engineUs = each(now.engineUs - before.engineUs);
  return {
    "CPU µs a click: program": programUs,
    "CPU µs a click: ClickHouse engine": engineUs,
    "CPU µs a click: program and engine": Math.round((programUs + engineUs) * 100) / 100,
    "CPU µs a click: client": each(now.clientUs - before.clientUs),
  };
}
