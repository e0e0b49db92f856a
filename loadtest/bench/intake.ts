/**
 * CPU per click of the gateway's own work: decode a ClickBatch, judge it, write the rows, copy
 * the parts out, encode the reply. No network, no shard. Run:
 *   node loadtest/bench/intake.ts [--seconds 3] [--batch 1000] [--shards 4] [--click-ids] [--json]
 * With `node --cpu-prof loadtest/bench/intake.ts` a profile is written that a browser opens.
 */
import { parseArgs } from "node:util";
import { v7 as uuidV7 } from "uuid";
import { encodeClick, encodeClickBatch } from "../../actors/adapters/grpc/click-client.ts";
import { decodeClickBatch, encodeBatchResult } from "../../actors/adapters/grpc/click-codec.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { Verdict } from "../../actors/core/verdict.ts";
import { createBatchIntake } from "../../actors/intake/batch.ts";
import { createIntake } from "../../actors/intake/intake.ts";
import { addGeneration, emptyTable } from "../../actors/routing/table.ts";
import { systemRandom } from "../../actors/runtime/clock.ts";
import { generateKeys } from "../../actors/token/keys.ts";
import { createTokenCodec } from "../../actors/token/token.ts";
import type { IdKey } from "../../actors/core/ids.ts";
import { printLines } from "../lib/report.ts";
import type { Part } from "../../actors/intake/row-gather.ts";

const { values: flags } = parseArgs({
  options: {
    seconds: { type: "string", default: "3" },
    batch: { type: "string", default: "1000" },
    shards: { type: "string", default: "4" },
    "click-ids": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const limits = DEFAULT_LIMITS;
const codec = await createTokenCodec(generateKeys(systemRandom));
const startedMs = Date.now();
const routing = addGeneration(emptyTable(startedMs), { shardCount: Number(flags.shards) }, startedMs, limits);
const ads = new Map<IdKey, { campaignId: bigint; advertiserId: bigint }>();
for (let id = 1; id <= 1_000; id++)
  ads.set(id, { campaignId: BigInt(id + 10_000), advertiserId: BigInt(id + 20_000) });

const intake = createIntake({ codec, routing: () => routing, peek: (key) => ads.get(key), limits });
const submit = (part: Part) => {
  const outcomes = new Uint8Array(2 * part.count);
  for (let row = 0; row < part.count; row++) outcomes[2 * row] = Verdict.ACCEPTED;
  return Promise.resolve({ offset: 0, outcomes });
};
const batches = createBatchIntake({ intake, limits, load: () => Promise.resolve(new Map()), submit });

const perBatch = Number(flags.batch);
const userAgent = Buffer.from(
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140",
);
const messages = Array.from({ length: 50 }, (_, b) =>
  encodeClickBatch(
    b,
    Array.from({ length: perBatch }, (_, i) => {
      const adId = BigInt(1 + ((b * 7919 + i * 31) % 1_000));
      const id = uuidV7({}, Buffer.alloc(16));
      const ip = Buffer.from([10, b, i >> 8, i & 0xff]);
      return flags["click-ids"]
        ? encodeClick({ clickId: id, adId, clickedAtMs: startedMs, ip, userAgent })
        : encodeClick({ token: codec.sign(1, adId, id), clickedAtMs: startedMs, ip, userAgent });
    }),
  ),
);

let replyBytes = 0;
async function run(forMs: number): Promise<{ clicks: number; cpuNs: number }> {
  const before = process.cpuUsage();
  const untilMs = performance.now() + forMs;
  let clicks = 0;
  while (performance.now() < untilMs) {
    for (const message of messages) {
      const batch = decodeClickBatch(message);
      const outcomes = await batches.take(batch, startedMs, true);
      replyBytes += encodeBatchResult(batch.batchId, outcomes).length;
      if (outcomes.verdicts.some((verdict) => verdict !== Verdict.ACCEPTED))
        throw new Error("a click was refused");
      clicks += batch.count;
    }
  }
  const spent = process.cpuUsage(before);
  return { clicks, cpuNs: (spent.user + spent.system) * 1_000 };
}

await run(Math.min(1, Number(flags.seconds)) * 1_000);
const { clicks, cpuNs } = await run(Number(flags.seconds) * 1_000);
printLines(
  [
    {
      test: `intake: a batch of ${perBatch} judged and sorted over ${flags.shards} shards`,
      figures: {
        "CPU µs a click": Math.round(cpuNs / clicks) / 1_000,
        "bytes a click on the wire": Math.round(messages[0]!.length / perBatch),
        clicks,
      },
    },
  ],
  flags.json,
);
if (replyBytes === 0) throw new Error("nothing was answered");
