/**
 * How long a shard is away: after kill -9 with clicks to replay, and with its volume lost; from the
 * start of the process to its first acknowledged click. Each life is a process of its own: the real
 * host with one shard on the real log and store; ClickHouse is a file (recovery/file-sink.ts).
 *
 *   node loadtest/recovery.ts [--replay 1000000] [--ids 10000000] [--ads 10000] [--log embedded|kafka]
 *                             [--prepared DIR] [--cpu-prof DIR] [--json]
 *
 * `--prepared` keeps what was prepared (embedded log only), and measures again on a copy of it.
 * Each time the shard must come back to the counts and ids that it had.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startKafka } from "../testing/servers/kafka.ts";
import { hottest, profilingArguments } from "./lib/cpu-profile.ts";
import { print } from "./lib/report.ts";

const { values: flags } = parseArgs({
  options: {
    replay: { type: "string", default: "1000000" },
    ids: { type: "string", default: "10000000" },
    ads: { type: "string", default: "10000" },
    log: { type: "string", default: "embedded" },
    prepared: { type: "string" },
    "cpu-prof": { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const HOST = fileURLToPath(new URL("recovery/host.ts", import.meta.url));
const [replay, ids] = [Number(flags.replay), Number(flags.ids)];

type Figures = Readonly<Record<string, number>>;
const told = (text: string) => void process.stderr.write(`${text}\n`);

/** Runs one life of the host until the event `until`; then it is killed, unless it ended by itself. */
async function life(
  dir: string,
  place: string,
  what: string,
  args: readonly (string | number)[],
  until: string,
  profiles?: string,
): Promise<Figures> {
  const startedAt = performance.now();
  const command = [HOST, dir, place, what, ...args.map(String)];
  const node = profiles === undefined ? [] : profilingArguments(profiles);
  const child = spawn(process.execPath, [...node, ...command], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const figures: Record<string, number> = {};
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const { event, ...rest } = JSON.parse(line) as { event: string } & Figures;
      if (event === "progress") told(`  ${what}: ${rest["clicks"]!.toLocaleString("en")} clicks`);
      else Object.assign(figures, rest, { [`${event}At`]: performance.now() - startedAt });
      if (event === until) break;
    }
  } finally {
    // A profile is written by an orderly end alone.
    child.kill(profiles === undefined ? "SIGKILL" : "SIGTERM");
    await ended;
  }
  if (figures[`${until}At`] === undefined) throw new Error(`the host ended before it said "${until}"`);
  return figures;
}

async function prepare(dir: string, place: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  told(`preparing ${(ids - replay).toLocaleString("en")} clicks that are saved …`);
  await life(dir, place, "fill", [ids - replay, flags.ads], "done");
  told(`and ${replay.toLocaleString("en")} that are not, then kill -9 …`);
  await life(dir, place, "leave", [replay, flags.ads], "done");
}

async function measure(dir: string, place: string): Promise<void> {
  const profiles = flags["cpu-prof"];
  const serve = async (name: string) => {
    const folder = profiles === undefined ? undefined : join(profiles, name);
    const figures = await life(dir, place, "serve", [], "saved", folder);
    if (folder !== undefined) for (const line of await hottest(folder, 20)) told(line);
    return figures;
  };
  const killed = await serve("killed");
  await rm(join(dir, "state"), { recursive: true, force: true });
  const lost = await serve("lost");
  const shown = (name: string, figures: Figures) => ({
    [`${name}: ms from process start to the first ack`]: Math.round(figures["ackedAt"]!),
    [`${name}: of it, until the log was open`]: Math.round(figures["openedMs"]!),
    [`${name}: of it, until the shard served`]: Math.round(figures["servesMs"]!),
    [`${name}: CPU by then, ms (all threads)`]: Math.round(figures["cpuMs"]!),
    [`${name}: blocks replayed`]: figures["blocks"]! - 1,
    [`${name}: peak RSS then, MiB`]: Math.round(figures["peakMiB"]!),
    [`${name}: peak RSS with the first save, MiB`]: Math.round(figures["savedPeakMiB"]!),
    [`${name}: clicks counted`]: figures["counted"]!,
    [`${name}: ids remembered`]: figures["remembered"]!,
  });
  const [prepared, first, second] = [ids, ids + 1, ids + 2];
  print(
    `recovery of one shard, ${flags.log} log`,
    {
      "clicks counted before": prepared,
      "of them to replay after the kill": replay,
      ...shown("killed", killed),
      ...shown("volume lost", lost),
    },
    flags.json,
  );
  const right = (figures: Figures, all: number) =>
    figures["counted"] === all && figures["remembered"] === all;
  if (!right(killed, first) || !right(lost, second)) process.exitCode = 1;
}

const dir = await mkdtemp(join(tmpdir(), "adtally-recovery-"));
const work = join(dir, "host");
const broker =
  flags.log === "kafka" ? await startKafka({ dir: join(dir, "kafka"), heapMegabytes: 512 }) : undefined;
try {
  const place = broker === undefined ? "embedded" : `kafka:${broker.address}`;
  const kept = broker === undefined ? flags.prepared : undefined;
  if (kept === undefined) await prepare(work, place);
  else {
    if (!existsSync(kept)) await prepare(kept, place);
    await cp(kept, work, { recursive: true });
  }
  await measure(work, place);
} finally {
  await broker?.kill();
  await rm(dir, { recursive: true, force: true });
}
