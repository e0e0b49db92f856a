/**
 * Exactly once, on the whole program, while it is killed again and again:
 *
 *   npm run test:exactly-once -- [--clicks 200000] [--kills 10] [--engine-kills 3] [--seed N]
 *                                [--rate 2000] [--ads 50] [--json]
 *
 * Exits with 1 when anything differs, naming the first differences.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { runExactlyOnce } from "./exactly-once/run.ts";
import { print } from "./lib/report.ts";

const NAMED = 20;

const { values: flags } = parseArgs({
  options: {
    clicks: { type: "string", default: "200000" },
    kills: { type: "string", default: "10" },
    "engine-kills": { type: "string", default: "3" },
    rate: { type: "string", default: "2000" },
    ads: { type: "string", default: "50" },
    seed: { type: "string", default: String(randomInt(0x7fff_ffff)) },
    json: { type: "boolean", default: false },
  },
});

console.log(`seed ${flags.seed}`);
const { figures, kills, faults } = await runExactlyOnce({
  clicks: Number(flags.clicks),
  rate: Number(flags.rate),
  kills: Number(flags.kills),
  engineKills: Number(flags["engine-kills"]),
  ads: Number(flags.ads),
  repeatMostMs: 60_000,
  explained: 1_000,
  seed: Number(flags.seed),
  say: (line) => console.log(line),
});
const recoveries = kills.flatMap(({ recoveryMs }) => recoveryMs ?? []);
print(
  "exactly once",
  {
    seed: flags.seed,
    kills: kills.filter(({ what }) => what !== "engine").length,
    "kills of the engine": kills.filter(({ what }) => what === "engine").length,
    "longest recovery ms": Math.round(Math.max(0, ...recoveries)),
    ...figures,
    differences: faults.length,
  },
  flags.json,
);
for (const fault of faults.slice(0, NAMED)) console.error(`DIFFERENT: ${fault}`);
if (faults.length > NAMED) console.error(`… and ${faults.length - NAMED} more`);
if (faults.length > 0) process.exitCode = 1;
