/**
 * Clicks a second through the whole program: gRPC StreamClicks in, counts in ClickHouse out.
 *
 *   node loadtest/stream-clicks.ts [--duration 10] [--batch 1000] [--in-flight 16] [--streams 1]
 *                                  [--ads 10000] [--repeats 0.1] [--clicks 2000000] [--cpu-prof] [--json]
 *
 * The client is this process, the program another, the ClickHouse engine a third. Tokens are
 * signed and messages encoded before the measured time. It ends after `duration` seconds, or
 * when `clicks` are used up. Sent = acked = counted (by the actors' counts and by the raw rows),
 * or it exits with 1.
 */
import { randomFillSync } from "node:crypto";
import { parseArgs } from "node:util";
import { Verdict } from "../actors/core/verdict.ts";
import { seededRandom } from "../actors/sim/random.ts";
import { createAds } from "./lib/ads.ts";
import { cpuSince, readCpu } from "./lib/cpu.ts";
import { createGrpcClicks, encodeClick, encodeClickBatch, type ClickStream } from "./lib/grpc-client.ts";
import { latencies, print } from "./lib/report.ts";
import { countedClicks, rawClicks, withProgram, type Scene } from "./lib/scene.ts";
import { createSigner } from "./lib/tokens.ts";
import { sleep, until } from "./lib/wait.ts";

const { values: flags } = parseArgs({
  options: {
    duration: { type: "string", default: "10" },
    batch: { type: "string", default: "1000" },
    "in-flight": { type: "string", default: "16" },
    streams: { type: "string", default: "1" },
    ads: { type: "string", default: "10000" },
    repeats: { type: "string", default: "0.1" },
    clicks: { type: "string", default: "2000000" },
    seed: { type: "string", default: "1" },
    "cpu-prof": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const batchClicks = Number(flags.batch);
const COUNTED_DEADLINE_MS = 60_000;
const ASK_EVERY_MS = 100;
const WARM_UP_BATCHES = 20;
const USER_AGENT = Buffer.from(
  "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36",
);

interface Batch {
  readonly id: number;
  readonly bytes: Buffer;
  readonly fresh: number;
}

async function makeBatches(dataDir: string, count: number, adIds: readonly bigint[]): Promise<Batch[]> {
  const random = seededRandom(Number(flags.seed));
  const signer = await createSigner(dataDir);
  const noise = Buffer.alloc(10 * batchClicks);
  const known: Buffer[] = [];
  const nowMs = Date.now();
  return Array.from({ length: count }, (_, b): Batch => {
    randomFillSync(noise);
    let fresh = 0;
    const clicks = Array.from({ length: batchClicks }, (_, i) => {
      let token: Buffer;
      if (known.length > 0 && random.chance(Number(flags.repeats))) token = random.pick(known);
      else {
        fresh += 1;
        const bytes = Buffer.from(noise.subarray(i * 10, i * 10 + 10));
        token = signer.sign(random.pick(adIds), nowMs - random.below(60_000), bytes).token;
        if (known.length < 200_000) known.push(token);
        else known[random.below(known.length)] = token;
      }
      const ip = Buffer.from([10, random.below(256), random.below(256), random.below(256)]);
      return encodeClick({ token, ip, userAgent: USER_AGENT });
    });
    return { id: b + 1, bytes: encodeClickBatch(b + 1, clicks), fresh };
  });
}

interface Sent {
  clicks: number;
  fresh: number;
  accepted: number;
  duplicates: number;
  other: number;
  refusedBatches: number;
  readonly batchMs: number[];
}

/** Sends batches until they or the time are used up; `in-flight` of them under way on each stream. */
async function send(streams: readonly ClickStream[], batches: readonly Batch[], ms: number): Promise<Sent> {
  const sent: Sent = {
    clicks: 0,
    fresh: 0,
    accepted: 0,
    duplicates: 0,
    other: 0,
    refusedBatches: 0,
    batchMs: [],
  };
  const endAt = performance.now() + ms;
  let next = 0;
  const worker = async (stream: ClickStream) => {
    while (next < batches.length && performance.now() < endAt) {
      const batch = batches[next++]!;
      sent.clicks += batchClicks;
      sent.fresh += batch.fresh;
      const sentAt = performance.now();
      for (;;) {
        const { verdicts, refusal } = await stream.sendEncoded(batch.id, batch.bytes);
        if (refusal === undefined) {
          for (const verdict of verdicts) {
            if (verdict === Verdict.ACCEPTED) sent.accepted += 1;
            else if (verdict === Verdict.DUPLICATE) sent.duplicates += 1;
            else sent.other += 1;
          }
          break;
        }
        sent.refusedBatches += 1;
        if (refusal.retryAfterMs === 0) throw new Error(`batch refused: ${refusal.code} ${refusal.detail}`);
        await sleep(refusal.retryAfterMs);
      }
      sent.batchMs.push(performance.now() - sentAt);
    }
  };
  const inFlight = Number(flags["in-flight"]);
  await Promise.all(streams.flatMap((stream) => Array.from({ length: inFlight }, () => worker(stream))));
  return sent;
}

async function run({ program, clickhouse }: Scene): Promise<void> {
  const ads = await createAds(program.url, Number(flags.ads));
  const count = WARM_UP_BATCHES + Math.ceil(Number(flags.clicks) / batchClicks);
  const batches = await makeBatches(
    program.dataDir,
    count,
    ads.map(({ adId }) => adId),
  );
  const bytesAClick = batches[0]!.bytes.length / batchClicks;
  const grpc = createGrpcClicks(program.grpcAddress, undefined);
  const streams = Array.from({ length: Number(flags.streams) }, () => grpc.openStream());
  const warm = await send(streams, batches.splice(0, WARM_UP_BATCHES), Infinity);
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
  const sent = await send(streams, batches, Number(flags.duration) * 1_000);
  const ackedMs = performance.now() - startedAt;
  await untilCounted(warm.accepted + sent.accepted);
  const countedMs = performance.now() - startedAt;
  await until(
    "all clicks in the raw table",
    COUNTED_DEADLINE_MS,
    async () => ((await rawClicks(clickhouse)) >= warm.accepted + sent.accepted ? true : undefined),
    ASK_EVERY_MS * 3,
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

await withProgram({ profiled: flags["cpu-prof"] }, run);
