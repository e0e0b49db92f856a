/**
 * How long reports take on a large data set, and what they cost the engine:
 *
 *   npm run bench:reports -- [--rows 300000000] [--ads 10000000] [--dir FOLDER] [--queries 200] [--only WORDS] [--json]
 *
 * Starts the embedded ClickHouse engine, makes minutes of 90 days in it and hours of a year (the
 * newest by the rollup itself), and asks the real reports. A folder that is named is kept: a later run goes on where the making stopped, and asks
 * at once when it is whole. Some answers of each kind are held against a plain recomputation: any
 * difference is printed, and ends this with 1. 300 million rows take about 3 GiB and some minutes to make.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { connectClickHouse } from "../actors/adapters/clickhouse/client.ts";
import { startEngine } from "../actors/adapters/clickhouse/engine-process.ts";
import { migrate } from "../actors/adapters/clickhouse/migrations.ts";
import { createReports } from "../actors/adapters/clickhouse/reports.ts";
import { DEFAULT_RETENTION } from "../actors/adapters/clickhouse/schema.ts";
import { DEFAULT_LIMITS } from "../actors/core/limits.ts";
import { systemClock } from "../actors/runtime/clock.ts";
import { silentLogger } from "../actors/runtime/log.ts";
import { generateHours, generateMinutes, keptShape, untilMerged } from "./bench-reports/generate.ts";
import { rollUp } from "./bench-reports/roll-up.ts";
import { measure } from "./bench-reports/measure.ts";
import { MINUTE_DAYS } from "./bench-reports/shape.ts";

const { values: flags } = parseArgs({
  options: {
    rows: { type: "string", default: "300000000" },
    ads: { type: "string", default: "10000000" },
    dir: { type: "string" },
    queries: { type: "string", default: "200" },
    only: { type: "string" },
    json: { type: "boolean", default: false },
    /** Makes for so long at the most and ends; the next run goes on. */
    seconds: { type: "string", default: "100000" },
  },
});
const ADS_AN_ADVERTISER = 100;
const SHARDS = 16;

const dir = flags.dir ?? (await mkdtemp(join(tmpdir(), "adtally-bench-reports-")));
await mkdir(dir, { recursive: true });
const engine = await startEngine({ dataDir: dir, port: 0, clock: systemClock, logger: silentLogger });
const clickhouse = connectClickHouse({ url: engine.url, deadlineMs: 40_000 });
const say = (line: string) => void process.stderr.write(`bench-reports: ${line}\n`);
try {
  await migrate(clickhouse, DEFAULT_RETENTION);
  const ads = Number(flags.ads);
  const endS = Math.floor(systemClock.now() / 60_000) * 60;
  const shape = await keptShape(clickhouse, {
    rows: Number(flags.rows),
    ads,
    advertisers: Math.ceil(ads / ADS_AN_ADVERTISER),
    shards: SHARDS,
    startS: endS - MINUTE_DAYS * 86_400,
  });
  const untilMs = performance.now() + 1000 * Number(flags.seconds);
  const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
  const whole =
    (await generateMinutes(clickhouse, shape, untilMs, say)) &&
    (await generateHours(clickhouse, shape, untilMs, say)) &&
    (await rollUp(clickhouse, shape, shards, untilMs, say));
  if (whole) {
    say("waiting for merges");
    await untilMerged(clickhouse);
    console.table(
      await clickhouse.rows(
        `SELECT table, partition, count() AS parts, sum(parts.rows) AS rows, formatReadableSize(sum(bytes_on_disk)) AS size
         FROM system.parts AS parts WHERE active AND database = 'adtally' AND parts.rows > 1000
         GROUP BY table, partition ORDER BY table, partition`,
      ),
    );
    const reports = createReports({ clickhouse, limits: DEFAULT_LIMITS, shards: () => shards });
    const { lines, wrong } = await measure(
      {
        clickhouse,
        reports,
        enginePid: engine.pid()!,
        shape,
        queries: Number(flags.queries),
        only: flags.only,
      },
      (line) => (flags.json ? console.log(JSON.stringify(line)) : say(JSON.stringify(line))),
    );
    if (!flags.json) console.table(lines);
    for (const fault of wrong) say(`wrong: ${fault}`);
    if (wrong.length > 0) process.exitCode = 1;
  } else say("not whole yet: run again with the same --dir");
} finally {
  await clickhouse.close();
  await engine.close();
  if (flags.dir === undefined) await rm(dir, { recursive: true, force: true });
}
