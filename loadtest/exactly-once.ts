/**
 * Exactly once, on the whole program, while it is killed again and again:
 *
 *   npm run test:exactly-once -- [--clicks 200000] [--kills 10] [--stops 3] [--engine-kills 3]
 *                                [--seed N] [--rate 2000] [--ads 50] [--repeat-within 60] [--json]
 *
 * Exits with 1 when anything differs, naming the first differences.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import type { Kill } from "./exactly-once/kill.ts";
import { runExactlyOnce } from "./exactly-once/run.ts";
import { print } from "./lib/report.ts";

const NAMED = 20;

const { values: flags } = parseArgs({
  options: {
    clicks: { type: "string", default: "200000" },
    kills: { type: "string", default: "10" },
    stops: { type: "string", default: "3" },
    "engine-kills": { type: "string", default: "3" },
    rate: { type: "string", default: "2000" },
    ads: { type: "string", default: "50" },
    "repeat-within": { type: "string", default: "60" },
    seed: { type: "string", default: String(randomInt(0x7fff_ffff)) },
    json: { type: "boolean", default: false },
  },
});

console.log(`seed ${flags.seed}`);
const { figures, kills, faults } = await runExactlyOnce({
  clicks: Number(flags.clicks),
  rate: Number(flags.rate),
  kills: Number(flags.kills),
  stops: Number(flags.stops),
  engineKills: Number(flags["engine-kills"]),
  ads: Number(flags.ads),
  repeatMostMs: Number(flags["repeat-within"]) * 1_000,
  explained: 1_000,
  seed: Number(flags.seed),
  say: (line) => console.log(line),
});
const recoveries = kills.flatMap(({ recoveryMs }) => recoveryMs ?? []);
const endings = (...what: Kill["what"][]) => kills.filter((kill) => what.includes(kill.what)).length;
print(
  "exactly once",
  {
    seed: flags.seed,
    "kill -9 of the program": endings("program", "program, while it started"),
    "kill -9 of its ClickHouse engine": endings("engine"),
    "SIGTERM and start": endings("program, with SIGTERM"),
    "longest recovery ms": Math.round(Math.max(0, ...recoveries)),
    ...figures,
    differences: faults.length,
  },
  flags.json,
);
for (const fault of faults.slice(0, NAMED)) console.error(`DIFFERENT: ${fault}`);
if (faults.length > NAMED) console.error(`… and ${faults.length - NAMED} more`);
if (faults.length > 0) process.exitCode = 1;
