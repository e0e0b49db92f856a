/**
 * k6, the load generator: the one on the PATH, or built from its Go module into the cache (about
 * a minute on two cores; needs Go).
 */
import path from "node:path";
import { cached, reportToStderr, type Report } from "./cache.ts";
import { hasCommand, runCommand } from "./command.ts";

export const K6_VERSION = "v1.8.1";

/** Why k6 cannot be had on this machine; undefined where it can. */
export async function k6Lacks(): Promise<string | undefined> {
  if (await hasCommand("k6", "version")) return undefined;
  if (await hasCommand("go", "version")) return undefined;
  return "k6 is missing, and so is Go to build it: install k6 (k6) or Go 1.25 or later (go), then start again";
}

/** The command that runs k6. @throws Error that says what is missing */
export async function installK6(report: Report = reportToStderr): Promise<string> {
  if (await hasCommand("k6", "version")) return "k6";
  const folder = await cached(`k6-${K6_VERSION}`, `k6 ${K6_VERSION}`, report, build);
  return path.join(folder, "k6");
}

async function build(folder: string): Promise<void> {
  const lacking = await k6Lacks();
  if (lacking !== undefined) throw new Error(`k6 cannot be installed: ${lacking}`);
  const env = { ...process.env, GOBIN: folder, CGO_ENABLED: "0", GOFLAGS: "-buildvcs=false" };
  await runCommand("go", ["install", `go.k6.io/k6@${K6_VERSION}`], { env });
}
