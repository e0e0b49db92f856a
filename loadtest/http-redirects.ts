/**
 * Redirects a second over HTTP under autocannon, a fresh token in each request:
 *
 *   node loadtest/http-redirects.ts [--requests 200000] [--connections 64] [--ads 1000] [--cpu-prof] [--json]
 *
 * The client shares the machine. Acked (302) = counted, or it exits with 1.
 */
import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import autocannon, { type Request } from "autocannon";
import { seededRandom } from "../actors/sim/random.ts";
import { createAds } from "./lib/ads.ts";
import { cpuSince, readCpu } from "./lib/cpu.ts";
import { print } from "./lib/report.ts";
import { countedClicks, rawClicks, withProgram } from "./lib/scene.ts";
import { untilSettled } from "./lib/tables.ts";
import { createSigner, tokenText } from "./lib/tokens.ts";

const WARM_UP_REQUESTS = 10_000;
const SETTLE_DEADLINE_MS = 60_000;

const { values: flags } = parseArgs({
  options: {
    requests: { type: "string", default: "200000" },
    connections: { type: "string", default: "64" },
    ads: { type: "string", default: "1000" },
    "cpu-prof": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const connections = Number(flags.connections);

await withProgram({ profiled: flags["cpu-prof"] }, async ({ program, clickhouse }) => {
  const ads = await createAds(program.url, Number(flags.ads));
  const signer = await createSigner(program.dataDir);
  const random = seededRandom(1);
  const amount = Number(flags.requests);
  const nowMs = Date.now();
  const paths = Array.from({ length: WARM_UP_REQUESTS + amount }, () => {
    const { token } = signer.sign(random.pick(ads).adId, nowMs - random.below(60_000), randomBytes(10));
    return `/click?i=${tokenText(token)}`;
  });
  // autocannon ends at a whole second of its own: the rate is taken up to the last request.
  let lastAt = 0;
  const setupRequest = (request: Request) => {
    lastAt = performance.now();
    return { ...request, path: paths.pop() ?? "/click" };
  };
  const fire = (count: number) =>
    autocannon({ url: program.url, connections, amount: count, requests: [{ setupRequest }] });

  const warm = await fire(WARM_UP_REQUESTS);
  await untilSettled(program.url, SETTLE_DEADLINE_MS);
  const before = await countedClicks(clickhouse);
  const cpu = await readCpu(program);
  const startedAt = performance.now();
  const result = await fire(amount);
  const cpuFigures = await cpuSince(program, cpu, amount);
  await untilSettled(program.url, SETTLE_DEADLINE_MS);

  const acked = result.statusCodeStats?.["302"]?.count ?? 0;
  const ackedInAll = acked + (warm.statusCodeStats?.["302"]?.count ?? 0);
  const counted = await countedClicks(clickhouse);
  const raw = await rawClicks(clickhouse);
  print(
    "HTTP redirects",
    {
      connections,
      requests: amount,
      "redirects a second": Math.round((acked * 1_000) / (lastAt - startedAt)),
      "latency p50 ms": result.latency.p50,
      "latency p99 ms": result.latency.p99,
      "latency p99.9 ms": result.latency.p99_9,
      "latency max ms": result.latency.max,
      "acked (302)": acked,
      "counted (click_counts)": counted - before,
      "counted in all (clicks_raw)": raw,
      "acked in all": ackedInAll,
      errors: result.errors,
      timeouts: result.timeouts,
      "other answers": amount - acked,
      ...cpuFigures,
    },
    flags.json,
  );
  if (counted !== ackedInAll || raw !== ackedInAll) {
    console.error("acked and counted do not agree");
    process.exitCode = 1;
  }
});
