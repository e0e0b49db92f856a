/**
 * Asks the real reports about the data set, each kind of question in turn: latency alone and with
 * company, and what the engine spends on it. Subjects are picked in proportion to their clicks,
 * as people look at what is clicked on, unless the kind says otherwise.
 */
import type { ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import type { Granularity, Reports, ReportSubject } from "../../actors/adapters/clickhouse/reports.ts";
import { percentile } from "../lib/report.ts";
import { cpuUsOf } from "../lib/processes.ts";
import { reportFaults } from "./check.ts";
import { QUESTIONS, queryOf } from "./questions.ts";
import { FIRST_ADVERTISER, MINUTE_DAYS, adColumns, type Shape } from "./shape.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const AT_ONCE = 8;
/** Questions of each kind whose answers are recomputed. */
const CHECKED = 3;
const MIB = 1024 * 1024;

export interface Line {
  readonly question: string;
  readonly "p50 ms": number;
  readonly "p95 ms": number;
  readonly "p99 ms": number;
  readonly "8 at once: p50 ms": number;
  readonly "8 at once: p99 ms": number;
  readonly "8 at once: reports/s": number;
  readonly "engine CPU ms": number;
  readonly "rows read": number;
  readonly "MiB read": number;
}

interface Known {
  readonly adId: bigint;
  readonly campaignId: bigint;
  readonly advertiserId: bigint;
}

interface Kind {
  readonly question: string;
  readonly subject: (index: number) => ReportSubject;
  readonly lengthMs: number;
  readonly granularity: Granularity;
}

const tenth = (value: number): number => Math.round(value * 10) / 10;

/** About `count` ads, each with a chance in proportion to its minutes. */
async function busyAds(clickhouse: ClickHouse, shape: Shape, count: number): Promise<readonly Known[]> {
  const found = await clickhouse.rows<{ ad_id: string; campaign_id: string; advertiser_id: string }>(
    `SELECT ad_id, campaign_id, advertiser_id
     FROM (SELECT ${adColumns(shape)} FROM numbers(${shape.ads}))
     WHERE cityHash64(i, 'asked') % ${shape.rows} < n * ${count * 2}
     ORDER BY cityHash64(i, 'order') LIMIT ${count}`,
  );
  return found.map((ad) => ({
    adId: BigInt(ad.ad_id),
    campaignId: BigInt(ad.campaign_id),
    advertiserId: BigInt(ad.advertiser_id),
  }));
}

function kinds(shape: Shape, ads: readonly Known[]): readonly Kind[] {
  const ad = (index: number) => ads[index % ads.length]!;
  const ofCampaign = (index: number) => ({
    advertiserId: ad(index).advertiserId,
    campaignId: ad(index).campaignId,
  });
  const ofAdvertiser = (index: number) => ({ advertiserId: ad(index).advertiserId });
  const any = (index: number) => ({
    advertiserId: BigInt(FIRST_ADVERTISER + ((index * 7_919) % shape.advertisers)),
  });
  const largest = () => ({ advertiserId: BigInt(FIRST_ADVERTISER) });
  const month = { lengthMs: 30 * DAY_MS, granularity: "1h" } as const;
  const year = { lengthMs: 365 * DAY_MS, granularity: "1d" } as const;
  return [
    { question: "an ad, 1 h by minute", subject: ad, lengthMs: HOUR_MS, granularity: "1m" },
    { question: "an ad, 7 d by hour", subject: ad, lengthMs: 7 * DAY_MS, granularity: "1h" },
    { question: "a campaign, 30 d by hour", subject: ofCampaign, ...month },
    { question: "an advertiser of any size, 30 d by hour", subject: any, ...month },
    { question: "an advertiser, 30 d by hour", subject: ofAdvertiser, ...month },
    { question: "the largest advertiser, 30 d by hour", subject: largest, ...month },
    { question: "an advertiser, a year by day", subject: ofAdvertiser, ...year },
    { question: "the largest advertiser, a year by day", subject: largest, ...year },
    {
      question: "the largest advertiser, total of 90 d",
      subject: largest,
      lengthMs: MINUTE_DAYS * DAY_MS,
      granularity: "1d",
    },
  ];
}

interface Spent {
  readonly cpuUs: number;
  readonly rows: number;
  readonly bytes: number;
}

async function spentBy(clickhouse: ClickHouse, enginePid: number): Promise<Spent> {
  const events = await clickhouse.rows<{ event: string; value: string }>(
    "SELECT event, value FROM system.events WHERE event IN ('SelectedRows', 'SelectedBytes')",
  );
  const valueOf = (name: string) => Number(events.find(({ event }) => event === name)?.value ?? 0);
  return {
    cpuUs: await cpuUsOf(enginePid),
    rows: valueOf("SelectedRows"),
    bytes: valueOf("SelectedBytes"),
  };
}

export interface MeasureOptions {
  readonly clickhouse: ClickHouse;
  readonly reports: Reports;
  readonly enginePid: number;
  readonly shape: Shape;
  readonly queries: number;
  readonly only: string | undefined;
}

export interface Measured {
  readonly lines: readonly Line[];
  /** Where reports were not what minutes come to. */
  readonly wrong: readonly string[];
}

export async function measure(options: MeasureOptions, say: (line: Line) => void): Promise<Measured> {
  const { clickhouse, enginePid, queries, reports, shape } = options;
  const toMs = (shape.startS + MINUTE_DAYS * 86_400) * 1_000;
  const ads = await busyAds(clickhouse, shape, queries);
  const lines: Line[] = [];
  const wrong: string[] = [];
  const timed = async (report: Promise<unknown>): Promise<number> => {
    const startedAt = performance.now();
    await report;
    return performance.now() - startedAt;
  };
  const asked = [
    ...kinds(shape, ads).map(({ granularity, lengthMs, question, subject }) => {
      const of = (index: number) => ({ subject: subject(index), fromMs: toMs - lengthMs, toMs, granularity });
      const check = async (index: number) =>
        reportFaults(clickhouse, shape, of(index), await reports.clicksReport(of(index)));
      return { question, check, ask: (index: number) => timed(reports.clicksReport(of(index))) };
    }),
    // Held against a plain recomputation in report-random.integration.test.ts.
    ...QUESTIONS.flatMap(({ question, input }) => {
      const query = (advertiserId: bigint | number) =>
        queryOf({ ...input(String(advertiserId)), to: "now" }, toMs);
      const check = () => Promise.resolve([]);
      const any = (index: number) => ads[index % ads.length]!.advertiserId;
      return [
        { question, check, ask: (index: number) => timed(reports.report(query(any(index)), toMs)) },
        {
          question: question.replace("an advertiser", "the largest advertiser"),
          check,
          ask: () => timed(reports.report(query(FIRST_ADVERTISER), toMs)),
        },
      ];
    }),
  ];
  for (const { ask, check, question } of asked) {
    if (options.only !== undefined && !question.includes(options.only)) continue;
    for (let index = 0; index < CHECKED; index++)
      for (const fault of (await check(index)).slice(0, 3))
        wrong.push(`${question}, question ${index}: ${fault}`);
    // What the operating system has not read yet is a matter of the disk, not of the query.
    for (let index = 0; index < Math.min(queries, 20); index++) await ask(index);
    const before = await spentBy(clickhouse, enginePid);
    const alone = new Float64Array(queries);
    for (let index = 0; index < queries; index++) alone[index] = await ask(index);
    const after = await spentBy(clickhouse, enginePid);
    const together = new Float64Array(queries);
    const startedAt = performance.now();
    let next = 0;
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let index = next++; index < queries; index = next++) together[index] = await ask(index);
      }),
    );
    const tookS = (performance.now() - startedAt) / 1_000;
    alone.sort();
    together.sort();
    const line: Line = {
      question,
      "p50 ms": tenth(percentile(alone, 0.5)),
      "p95 ms": tenth(percentile(alone, 0.95)),
      "p99 ms": tenth(percentile(alone, 0.99)),
      "8 at once: p50 ms": tenth(percentile(together, 0.5)),
      "8 at once: p99 ms": tenth(percentile(together, 0.99)),
      "8 at once: reports/s": Math.round(queries / tookS),
      "engine CPU ms": tenth((after.cpuUs - before.cpuUs) / 1_000 / queries),
      "rows read": Math.round((after.rows - before.rows) / queries),
      "MiB read": tenth((after.bytes - before.bytes) / MIB / queries),
    };
    say(line);
    lines.push(line);
  }
  return { lines, wrong };
}
