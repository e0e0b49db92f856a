/**
 * Clicks a second through the whole program: gRPC StreamClicks in, counts in ClickHouse out.
 *
 *   node loadtest/stream-clicks.ts [--duration 10] [--batch 1000] [--in-flight 16] [--streams 1]
 *                                  [--ads 10000] [--repeats 0.1] [--clicks 2000000] [--shards N]
 *                                  [--cpu-prof] [--json]
 *
 * The client is this process, the program another, the ClickHouse engine a third. Tokens are
 * signed and messages encoded before the measured time. It ends after `duration` seconds, or
 * when `clicks` are used up. Sent = acked = counted (by the actors' counts and by the raw rows),
 * or it exits with 1.
 */
import { parseArgs } from "node:util";
import { createAds } from "./lib/ads.ts";
import { cpuSince, readCpu } from "./lib/cpu.ts";
import { makeBatches, sendBatches } from "./lib/click-batches.ts";
import { createGrpcClicks } from "./lib/grpc-client.ts";
import { latencies, print } from "./lib/report.ts";
import { countedClicks, rawClicks, rawRows, withProgram, type Scene } from "./lib/scene.ts";
import { until } from "./lib/wait.ts";

const { values: flags } = parseArgs({
  options: {
    duration: { type: "string", default: "10" },
    batch: { type: "string", default: "1000" },
    "in-flight": { type: "string", default: "16" },
    streams: { type: "string", default: "1" },
    ads: { type: "string", default: "10000" },
    repeats: { type: "string", default: "0.1" },
    clicks: { type: "string", default: "2000000" },
    shards: { type: "string" },
    seed: { type: "string", default: "1" },
    "cpu-prof": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const batchClicks = Number(flags.batch);
const COUNTED_DEADLINE_MS = 60_000;
const ASK_EVERY_MS = 100;
const WARM_UP_BATCHES = 20;

async function run({ program, clickhouse }: Scene): Promise<void> {
  const ads = await createAds(program.url, Number(flags.ads));
  const batches = await makeBatches({
    dataDir: program.dataDir,
    batches: WARM_UP_BATCHES + Math.ceil(Number(flags.clicks) / batchClicks),
    batchClicks,
    adIds: ads.map(({ adId }) => adId),
    repeats: Number(flags.repeats),
    seed: Number(flags.seed),
  });
  const bytesAClick = batches[0]!.bytes.length / batchClicks;
  const grpc = createGrpcClicks(program.grpcAddress, undefined);
  const streams = Array.from({ length: Number(flags.streams) }, () => grpc.openStream());
  const how = { streams, inFlight: Number(flags["in-flight"]), withinMs: Number(flags.duration) * 1_000 };
  const warm = await sendBatches(batches.splice(0, WARM_UP_BATCHES), { ...how, withinMs: Infinity });
  const untilCounted = (clicks: number) =>
    until(
      "all clicks in the counts",
      COUNTED_DEADLINE_MS,
      async () => ((await countedClicks(clickhouse)) >= clicks ? true : undefined),
      ASK_EVERY_MS,
    );
  await untilCounted(warm.accepted);

  const cpu = await readCpu(program);
  const startedAt = performance.now();
  const sent = await sendBatches(batches, how);
  const ackedMs = performance.now() - startedAt;
  await untilCounted(warm.accepted + sent.accepted);
  const countedMs = performance.now() - startedAt;
  await until(
    "all clicks in the raw table",
    COUNTED_DEADLINE_MS,
    async () => ((await rawRows(clickhouse)) >= warm.clicks + sent.clicks ? true : undefined),
    ASK_EVERY_MS,
  );
  const rawMs = performance.now() - startedAt;
  const cpuFigures = await cpuSince(program, cpu, sent.clicks);
  for (const stream of streams) stream.end();
  grpc.close();

  const counted = (await countedClicks(clickhouse)) - warm.accepted;
  const raw = (await rawClicks(clickhouse)) - warm.accepted;
  const acked = sent.accepted + sent.duplicates;
  const aSecond = (ms: number) => Math.round((sent.clicks * 1_000) / ms);
  print(
    "stream clicks",
    {
      "bytes a click on the wire": Math.round(bytesAClick),
      sent: sent.clicks,
      acked,
      "acked as accepted": sent.accepted,
      "acked as duplicate": sent.duplicates,
      "counted (click_counts)": counted,
      "counted (clicks_raw)": raw,
      "batches refused and sent again": sent.refusedBatches,
      "clicks a second, to the last ack": aSecond(ackedMs),
      "clicks a second, to all in counts": aSecond(countedMs),
      "clicks a second, to all in raw rows": aSecond(rawMs),
      "last ack to all in counts ms": Math.round(countedMs - ackedMs),
      ...latencies("batch", sent.batchMs),
      ...cpuFigures,
    },
    flags.json,
  );
  const agrees = acked === sent.clicks && counted === sent.accepted && raw === sent.accepted;
  if (!agrees || sent.other > 0) {
    console.error("sent, acked and counted do not agree");
    process.exitCode = 1;
  }
}

const args = flags.shards === undefined ? [] : ["--shards", flags.shards];
await withProgram({ profiled: flags["cpu-prof"], args }, run);
