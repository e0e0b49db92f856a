/** What the programs logged of a move, as milliseconds after its publication. */
import { readFile } from "node:fs/promises";
import type { Cluster } from "../../cmd/cluster/cluster.ts";

const UNTOLD = new Set(["ready", "checkpoint"]);

export async function timeline(
  cluster: Cluster,
  fromEpochMs: number,
  untilEpochMs: number,
): Promise<readonly string[]> {
  const events: { readonly atMs: number; readonly text: string }[] = [];
  for (const { logFile, name } of [...cluster.actors, ...cluster.gateways]) {
    for (const line of (await readFile(logFile, "utf8")).split("\n")) {
      if (!line.startsWith("{")) continue;
      const {
        time,
        level,
        msg,
        pid,
        hostname,
        program,
        name: own,
        ...rest
      } = JSON.parse(line) as Record<string, unknown>;
      void [pid, hostname, program, own];
      const atMs = Date.parse(String(time));
      if (!(atMs >= fromEpochMs && atMs <= untilEpochMs) || UNTOLD.has(String(msg))) continue;
      const text = `${String(level)} ${name}: ${String(msg)} ${JSON.stringify(rest)}`;
      events.push({ atMs, text });
    }
  }
  return events
    .sort((a, b) => a.atMs - b.atMs)
    .map(({ atMs, text }) => `    ${String(Math.round(atMs - fromEpochMs)).padStart(5)} ms  ${text}`);
}
