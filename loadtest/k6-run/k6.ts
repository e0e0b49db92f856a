/** Runs k6 on one scenario and reads its figures. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { freemem } from "node:os";
import { fileURLToPath } from "node:url";

const SCRIPTS = fileURLToPath(new URL("../k6/", import.meta.url));
/** k6's exit code when a threshold was crossed; anything else that is not 0 is a run that failed. */
const THRESHOLDS_CROSSED = 99;

const MIB = 1024 * 1024;
/** What k6 may use of the memory that is free, and at the most. */
const MEMORY_SHARE = 1 / 4;
const MEMORY_MAX_MIB = 6 * 1024;

/**
 * A collection of k6's garbage takes both cores for some 150 ms, of which the answers under way then
 * tell as if the target had been slow. So it comes when this memory is full, not each time the heap doubles.
 */
function collectorSettings(): Readonly<Record<string, string>> {
  const mib = Math.round(Math.min(MEMORY_MAX_MIB, (freemem() / MIB) * MEMORY_SHARE));
  return { GOGC: "off", GOMEMLIMIT: `${mib}MiB` };
}

interface Metric {
  readonly values: Readonly<Record<string, number>>;
  readonly thresholds?: Readonly<Record<string, { readonly ok: boolean }>>;
}

export interface K6Summary {
  readonly metrics: Readonly<Record<string, Metric>>;
}

export interface K6Run {
  readonly command: string;
  readonly script: string;
  readonly settings: Readonly<Record<string, string>>;
  /** Where k6 puts its figures, and its page of plots. */
  readonly summaryFile: string;
  readonly htmlFile: string;
}

/** @throws Error when k6 did not run to its end; a crossed threshold is no error */
export async function runK6({ command, script, settings, summaryFile, htmlFile }: K6Run): Promise<K6Summary> {
  const told = { ...settings, ADTALLY_SUMMARY: summaryFile };
  const quiet = process.stdout.isTTY ? [] : ["--quiet"];
  const child = spawn(command, ["run", ...quiet, `${SCRIPTS}${script}`], {
    stdio: "inherit",
    env: {
      ...collectorSettings(),
      ...process.env,
      ...told,
      K6_NO_USAGE_REPORT: "true",
      K6_WEB_DASHBOARD: "true",
      K6_WEB_DASHBOARD_PORT: "-1",
      K6_WEB_DASHBOARD_PERIOD: "1s",
      K6_WEB_DASHBOARD_EXPORT: htmlFile,
    },
  });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0 && code !== THRESHOLDS_CROSSED)
    throw new Error(`k6 ended with ${code ?? "a signal"}: see above`);
  return JSON.parse(await readFile(summaryFile, "utf8")) as K6Summary;
}

export const countOf = ({ metrics }: K6Summary, name: string): number => metrics[name]?.values["count"] ?? 0;

export const valueOf = ({ metrics }: K6Summary, name: string, which: string): number =>
  metrics[name]?.values[which] ?? 0;

/** Every threshold that was crossed, as "metric: condition". */
export function crossed({ metrics }: K6Summary): string[] {
  return Object.entries(metrics).flatMap(([name, { thresholds = {} }]) =>
    Object.entries(thresholds)
      .filter(([, { ok }]) => !ok)
      .map(([condition]) => `${name}: ${condition}`),
  );
}
