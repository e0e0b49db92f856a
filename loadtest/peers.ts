/**
 * The same clicks through adtally and through its peers, one after the other on this machine, and
 * the ratios as they come out:
 *
 *   npm run loadtest:peers -- [--clicks 1000000] [--ads 10000] [--repeats 0.1] [--rounds 1]
 *        [--only adtally,same-job,bare,alone] [--json]
 *
 * adtally: gateway, actor host, ingester and ClickHouse engine as processes on a Kafka broker.
 * Kafka Streams, the same job: tokens checked, ids of two hours, verdicts, counts by ad and minute,
 * counts and raw rows in the same engine's tables. Bare: ids and counts alone, in a topic.
 * ClickHouse alone: raw rows, deduplicated at each query.
 *
 * Brokers have the same settings, warm-ups the same length, clicks the same shares and bytes, made
 * and signed before the time runs. Time runs from the first click sent until all are counted where
 * each keeps its counts, with adtally and the same job until all raw rows are there too. The client
 * that sends (adtally's over gRPC to its gateway, the peer's to the broker) and the broker stand
 * apart from the sum on both sides. Each counts exactly the distinct clicks, or this exits with 1.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { runClickHouseAlone } from "./peers/clickhouse-alone.ts";
import { runKafkaStreams, type PeerRun } from "./peers/kafka-streams.ts";

const CLUSTER = fileURLToPath(new URL("stream-clicks-cluster.ts", import.meta.url));
/** Enough for all of Java's compilers. */
const WARM_UP_CLICKS = 300_000;

const { values: flags } = parseArgs({
  options: {
    clicks: { type: "string", default: "1000000" },
    ads: { type: "string", default: "10000" },
    repeats: { type: "string", default: "0.1" },
    rounds: { type: "string", default: "1" },
    only: { type: "string", default: "adtally,same-job,bare,alone" },
    json: { type: "boolean", default: false },
  },
});
const clicks = Number(flags.clicks);
const ads = Number(flags.ads);
const repeats = Number(flags.repeats);

interface Line {
  readonly system: string;
  /** From the first click sent until all are counted. */
  readonly clicksASecond: number;
  /** Of the processes that do the work, with ClickHouse; broker and client apart. */
  readonly cpuUsAClick: number;
  readonly engineUsAClick?: number | undefined;
  readonly brokerUsAClick?: number | undefined;
  readonly clientUsAClick?: number | undefined;
  /** Cores that other processes, or the host, held meanwhile: with more than some tenths, run it again. */
  readonly others?: number | undefined;
  /** What was counted less what was distinct: 0 is right. */
  readonly difference: number;
}

const say = (line: string) => void process.stderr.write(`peers: ${line}\n`);

async function adtally(): Promise<Line> {
  const same = ["--clicks", String(clicks), "--ads", String(ads), "--repeats", String(repeats)];
  const wanted = [...same, "--warm-up", String(WARM_UP_CLICKS), "--compiled-broker", "--json"];
  const child = spawn(process.execPath, [CLUSTER, ...wanted], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`loadtest/stream-clicks-cluster.ts ended with ${code}`);
  const line = text.trim().split("\n").at(-1)!;
  say(line);
  const figures = JSON.parse(line) as Record<string, number>;
  return {
    system: "adtally, separate processes",
    clicksASecond: Math.min(
      figures["clicks a second, to all in counts"]!,
      figures["clicks a second, to all in raw rows"]!,
    ),
    cpuUsAClick: figures["CPU µs a click: adtally in all"]!,
    engineUsAClick: figures["CPU µs a click: clickhouse"],
    brokerUsAClick: figures["CPU µs a click: broker"],
    clientUsAClick: figures["CPU µs a click: client"],
    others: figures["cores held by others meanwhile"],
    difference: figures["counted (click_counts)"]! - figures["acked as accepted"]!,
  };
}

async function kafkaStreams(job: PeerRun["job"], guarantee: PeerRun["guarantee"]): Promise<Line> {
  const dir = await mkdtemp(join(tmpdir(), "adtally-peer-"));
  try {
    const run = { dir, job, clicks, warmUpClicks: WARM_UP_CLICKS, ads, repeats, guarantee };
    const { sent, distinct, counted, countedMs, cpuUs, others } = await runKafkaStreams(run);
    return {
      system: `Kafka Streams, ${job}, ${guarantee}`,
      clicksASecond: (sent * 1_000) / countedMs,
      cpuUsAClick: (cpuUs.streams + cpuUs.engine) / sent,
      engineUsAClick: job === "bare" ? undefined : cpuUs.engine / sent,
      brokerUsAClick: cpuUs.broker / sent,
      clientUsAClick: cpuUs.producer / sent,
      others,
      difference: counted - distinct,
    };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function clickhouseAlone(): Promise<Line> {
  const { rows, counted, insertMs, insertCpuUs, queryMs, queryCpuUs } = await runClickHouseAlone(
    clicks,
    ads,
    repeats,
  );
  const distinct = Math.ceil(rows * (1 - repeats));
  say(
    `ClickHouse alone answers one question for all counts in ${queryMs.toFixed(0)} ms and ` +
      `${(queryCpuUs / 1_000).toFixed(0)} ms of CPU, each time anew`,
  );
  return {
    system: "ClickHouse alone, raw insert and one question",
    clicksASecond: (rows * 1_000) / (insertMs + queryMs),
    cpuUsAClick: (insertCpuUs + queryCpuUs) / rows,
    difference: counted - distinct,
  };
}

const systems: readonly (readonly [kind: string, what: string, run: () => Promise<Line>])[] = [
  ["adtally", "adtally", adtally],
  ["same-job", "Kafka Streams, same job, exactly once", () => kafkaStreams("same-job", "exactly_once_v2")],
  ["same-job", "Kafka Streams, same job, at least once", () => kafkaStreams("same-job", "at_least_once")],
  ["bare", "Kafka Streams, bare, exactly once", () => kafkaStreams("bare", "exactly_once_v2")],
  ["bare", "Kafka Streams, bare, at least once", () => kafkaStreams("bare", "at_least_once")],
  ["alone", "ClickHouse alone", clickhouseAlone],
];
const only = flags.only.split(",");
const unknown = only.find((kind) => !systems.some(([each]) => each === kind));
if (unknown !== undefined) throw new Error(`--only: there is no ${unknown}`);

const round = (value: number | undefined, digits: number) =>
  value === undefined ? undefined : Number(value.toFixed(digits));
for (let turn = 1; turn <= Number(flags.rounds); turn++) {
  const lines: Line[] = [];
  for (const [kind, what, run] of systems) {
    if (!only.includes(kind)) continue;
    say(`round ${turn}: ${what}, ${clicks.toLocaleString("en")} clicks`);
    lines.push(await run());
  }
  const own = lines.find(({ system }) => system.startsWith("adtally"));
  const rows = lines.map((line) => ({
    system: line.system,
    "clicks/s until counted": Math.round(line.clicksASecond),
    "adtally is so many times as fast": own && round(own.clicksASecond / line.clicksASecond, 2),
    "CPU µs a click": round(line.cpuUsAClick, 2),
    "of it ClickHouse": round(line.engineUsAClick, 2),
    broker: round(line.brokerUsAClick, 2),
    client: round(line.clientUsAClick, 2),
    "cores of others": line.others,
    "counted too many": line.difference,
  }));
  if (flags.json) for (const row of rows) console.log(JSON.stringify(row));
  else console.table(rows);
  if (lines.some(({ difference }) => difference !== 0)) process.exitCode = 1;
}
