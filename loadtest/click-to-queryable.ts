/**
 * How soon a click is in the advertiser's query: clicks at a steady pace over HTTP, whatever the
 * answers do, while one client asks GET /v1/reports/clicks again and again.
 *
 *   node loadtest/click-to-queryable.ts [--clicks 10000] [--rate 500] [--json]
 *
 * The k-th click sent is queryable when the total is first seen at k or more, by the time at
 * which that report's answer was in the asker's hands. All clicks are of one ad; their order at
 * the gateway differs from the order of sending by a few milliseconds at most.
 */
import { parseArgs } from "node:util";
import { seededRandom } from "../actors/sim/random.ts";
import { callJson, createAds } from "./lib/ads.ts";
import { createHttpClicks } from "./lib/http-clicks.ts";
import { latencies, print } from "./lib/report.ts";
import { countedClicks, withProgram } from "./lib/scene.ts";
import { issueImpressions, tokenText } from "./lib/tokens.ts";
import { sleep } from "./lib/wait.ts";

const ASK_EVERY_MS = 20;
const GIVE_UP_MS = 10_000;
const WARM_UP_CLICKS = 200;

const { values: flags } = parseArgs({
  options: {
    clicks: { type: "string", default: "10000" },
    rate: { type: "string", default: "500" },
    json: { type: "boolean", default: false },
  },
});
const clicks = Number(flags.clicks);
const rate = Number(flags.rate);

interface Seen {
  readonly atMs: number;
  readonly total: number;
}

await withProgram({ profiled: false }, async ({ program, clickhouse }) => {
  const [ad] = await createAds(program.url, 1);
  const random = seededRandom(1);
  const impressions = await issueImpressions(program.url, ad!.adId, clicks + WARM_UP_CLICKS);
  const http = createHttpClicks(program.httpPort, 256);
  const from = new Date(Date.now() - 60_000).toISOString();
  const askTotal = async () => {
    const query = `ad_id=${ad!.adId}&from=${from}&to=${new Date(Date.now() + 60_000).toISOString()}`;
    const report = await callJson<{ total: { clicks: number } }>(`${program.url}/v1/reports/clicks?${query}`);
    return report.total.clicks;
  };

  for (const { token } of impressions.splice(0, WARM_UP_CLICKS)) await http.click(tokenText(token));
  while ((await askTotal()) < WARM_UP_CLICKS) await sleep(ASK_EVERY_MS);

  const sentAt: number[] = [];
  const redirectMs: number[] = [];
  let acked = 0;
  let sending = true;
  const seen: Seen[] = [];
  const asks: number[] = [];

  async function ask(): Promise<void> {
    for (let giveUpAt = Infinity; performance.now() < giveUpAt;) {
      const askedAt = performance.now();
      const total = (await askTotal()) - WARM_UP_CLICKS;
      const atMs = performance.now();
      asks.push(atMs - askedAt);
      if (total > (seen.at(-1)?.total ?? 0)) seen.push({ atMs, total });
      if (total >= clicks) break;
      if (!sending && giveUpAt === Infinity) giveUpAt = atMs + GIVE_UP_MS;
      // Not in step with the program's own intervals.
      await sleep(Math.max(0, askedAt + ASK_EVERY_MS - performance.now()) + random.next() * 5);
    }
  }

  async function send(): Promise<void> {
    const answers: Promise<void>[] = [];
    const startedAt = performance.now();
    for (const [i, { token }] of impressions.entries()) {
      const dueAt = startedAt + (i * 1_000) / rate;
      if (dueAt > performance.now()) await sleep(dueAt - performance.now());
      const at = performance.now();
      sentAt.push(at);
      answers.push(
        http.click(tokenText(token)).then(({ status }) => {
          redirectMs.push(performance.now() - at);
          if (status === 302) acked += 1;
        }),
      );
    }
    await Promise.all(answers);
    sending = false;
  }

  await Promise.all([send(), ask()]);
  http.close();
  const visibleMs: number[] = [];
  for (const { atMs, total } of seen) {
    for (let k = visibleMs.length; k < total; k++) visibleMs.push(atMs - sentAt[k]!);
  }
  const counted = (await countedClicks(clickhouse)) - WARM_UP_CLICKS;
  const seconds = (sentAt.at(-1)! - sentAt[0]!) / 1_000;
  print(
    "click to queryable",
    {
      sent: sentAt.length,
      "sent a second": Math.round(sentAt.length / seconds),
      acked,
      counted,
      "seen in a report": visibleMs.length,
      ...latencies("click to queryable", visibleMs),
      ...latencies("redirect", redirectMs),
      ...latencies("report", asks),
      reports: asks.length,
    },
    flags.json,
  );
  if (acked !== clicks || counted !== clicks || visibleMs.length !== clicks) process.exitCode = 1;
});
