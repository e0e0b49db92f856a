/**
 * Redirects a second over HTTP, a fresh token in each request:
 *
 *   node loadtest/http-redirects.ts [--client wrk] [--seconds 10] [--threads 1] [--connections 64] [--ads 200]
 *   node loadtest/http-redirects.ts  --client autocannon  [--requests 200000] [--connections 64] [--ads 200]
 *                                    both: [--cpu-prof] [--json]
 *
 * The client shares the machine. Acked (302) = counted, by the program's reports and by the raw
 * rows, or it exits with 1.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import autocannon, { type Request } from "autocannon";
import { seededRandom } from "../actors/sim/random.ts";
import { readCounted, settled } from "./k6-run/account.ts";
import { createAds, type TestAd } from "./lib/ads.ts";
import { cpuSince, readCpu } from "./lib/cpu.ts";
import { ADMIN_KEY } from "./lib/program.ts";
import { print, type Figures } from "./lib/report.ts";
import { rawClicks, withProgram, type Scene } from "./lib/scene.ts";
import { untilSettled } from "./lib/tables.ts";
import { createSigner, tokenText } from "./lib/tokens.ts";
import { runWrk } from "./wrk/wrk.ts";

const WARM_UP_REQUESTS = 20_000;
const WARM_UP_SECONDS = 3;
/** More than wrk has been seen to use up; a run that does is a failed one, as its rate proves nothing. */
const TOKENS_A_SECOND = 60_000;
const SETTLE_DEADLINE_MS = 60_000;
const STILL_MS = 5_000;
const IMPRESSIONS_WITHIN_MS = 60_000;

const { values: flags } = parseArgs({
  options: {
    client: { type: "string", default: "wrk" },
    seconds: { type: "string", default: "10" },
    threads: { type: "string", default: "1" },
    requests: { type: "string", default: "200000" },
    connections: { type: "string", default: "64" },
    ads: { type: "string", default: "200" },
    "cpu-prof": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const connections = Number(flags.connections);

interface Fired {
  /** Requests that carried a token, and those that were answered by 302. */
  readonly sent: number;
  readonly redirects: number;
  readonly seconds: number;
  readonly figures: Figures;
}

interface Client {
  warmUp(): Promise<Fired>;
  load(): Promise<Fired>;
}

async function signTokens({ program }: Scene, ads: readonly TestAd[], count: number): Promise<string[]> {
  const signer = await createSigner(program.dataDir);
  const random = seededRandom(1);
  const nowMs = Date.now();
  return Array.from({ length: count }, () => {
    const impressionMs = nowMs - random.below(IMPRESSIONS_WITHIN_MS);
    return tokenText(signer.sign(random.pick(ads).adId, impressionMs, randomBytes(10)).token);
  });
}

async function wrkClient(scene: Scene, ads: readonly TestAd[]): Promise<Client> {
  const seconds = Number(flags.seconds);
  const count = seconds * TOKENS_A_SECOND;
  const tokens = await signTokens(scene, ads, WARM_UP_REQUESTS + count);
  const file = join(scene.program.dataDir, "tokens-of-the-load-test");
  const out = createWriteStream(file);
  for (const token of tokens) if (!out.write(`${token}\n`)) await once(out, "drain");
  out.end();
  await once(out, "close");
  const fire = async (first: number, most: number, forSeconds: number): Promise<Fired> => {
    const { taken, redirects, ...rest } = await runWrk({
      url: scene.program.url,
      tokens: file,
      tokenLength: tokens[0]!.length,
      first,
      count: most,
      seconds: forSeconds,
      connections,
      threads: Number(flags.threads),
    });
    const ms = (us: number) => Math.round(us / 10) / 100;
    return {
      sent: taken,
      redirects,
      seconds: rest.seconds,
      figures: {
        "latency p50 ms": ms(rest.p50Us),
        "latency p95 ms": ms(rest.p95Us),
        "latency p99 ms": ms(rest.p99Us),
        "latency p99.9 ms": ms(rest.p999Us),
        "latency max ms": ms(rest.maxUs),
        errors: rest.socketErrors,
        timeouts: rest.timeouts,
      },
    };
  };
  return {
    warmUp: () => fire(0, WARM_UP_REQUESTS, WARM_UP_SECONDS),
    async load() {
      const fired = await fire(WARM_UP_REQUESTS, count, seconds);
      if (fired.sent === count) throw new Error(`${count} tokens were too few for ${seconds} s`);
      return fired;
    },
  };
}

async function autocannonClient(scene: Scene, ads: readonly TestAd[]): Promise<Client> {
  const { url } = scene.program;
  const amount = Number(flags.requests);
  const tokens = await signTokens(scene, ads, WARM_UP_REQUESTS + amount);
  const fire = async (count: number): Promise<Fired> => {
    // autocannon ends at a whole second of its own: the rate is taken up to the last request.
    let lastAt = 0;
    const setupRequest = (request: Request) => {
      lastAt = performance.now();
      return { ...request, path: `/click?i=${tokens.pop() ?? ""}` };
    };
    const startedAt = performance.now();
    const { latency, errors, timeouts, statusCodeStats } = await autocannon({
      url,
      connections,
      amount: count,
      requests: [{ setupRequest }],
    });
    return {
      sent: count,
      redirects: statusCodeStats?.["302"]?.count ?? 0,
      seconds: (lastAt - startedAt) / 1_000,
      figures: {
        "latency p50 ms": latency.p50,
        "latency p99 ms": latency.p99,
        "latency p99.9 ms": latency.p99_9,
        "latency max ms": latency.max,
        errors,
        timeouts,
      },
    };
  };
  return { warmUp: () => fire(WARM_UP_REQUESTS), load: () => fire(amount) };
}

const CLIENTS: Readonly<Record<string, (scene: Scene, ads: readonly TestAd[]) => Promise<Client>>> = {
  wrk: wrkClient,
  autocannon: autocannonClient,
};

async function run(scene: Scene, open: (typeof CLIENTS)[string]): Promise<void> {
  const { program, clickhouse } = scene;
  const startedMs = Date.now();
  const ads = await createAds(program.url, Number(flags.ads));
  const advertisers = [...new Set(ads.map(({ advertiserId }) => advertiserId))];
  const read = () => readCounted({ reportUrl: program.url, key: ADMIN_KEY }, advertisers, startedMs);
  const client = await open(scene, ads);
  const warm = await client.warmUp();
  await untilSettled(program.url, SETTLE_DEADLINE_MS);
  const cpu = await readCpu(program);
  const fired = await client.load();
  // What is under way still at the last answer is a few milliseconds of work.
  const cpuFigures = await cpuSince(program, cpu, fired.redirects);
  await untilSettled(program.url, SETTLE_DEADLINE_MS);

  const acked = warm.redirects + fired.redirects;
  const counted = await settled(read, { clicks: acked, duplicates: 0 }, STILL_MS);
  const raw = await rawClicks(clickhouse);
  print(
    `HTTP redirects, ${flags.client}`,
    {
      connections,
      requests: fired.sent,
      "redirects a second": Math.round(fired.redirects / fired.seconds),
      ...fired.figures,
      "acked (302)": fired.redirects,
      "other answers, or none": fired.sent - fired.redirects,
      "acked in all, with the warm-up": acked,
      "counted in all (reports)": counted.clicks,
      "counted in all (clicks_raw)": raw,
      "duplicates (reports)": counted.duplicates,
      ...cpuFigures,
    },
    flags.json,
  );
  // A click without an answer may be counted or not. A batch that the gateway handed on twice, as an
  // answer was slow to come, is counted once and shows as duplicates besides.
  const most = warm.sent + fired.sent;
  const isRight = (clicks: number) => clicks >= acked && clicks <= most;
  if (!isRight(counted.clicks) || counted.clicks !== raw) {
    console.error("acked and counted do not agree");
    process.exitCode = 1;
  }
}

const open = CLIENTS[flags.client];
if (open === undefined) {
  console.error(`no client ${flags.client}: there are ${Object.keys(CLIENTS).join(", ")}`);
  process.exitCode = 1;
} else await withProgram({ profiled: flags["cpu-prof"] }, (scene) => run(scene, open));
