/** The exactly-once test of the whole program, short enough for every run of the tests. */
import { expect, it } from "vitest";
import { runExactlyOnce } from "./exactly-once/run.ts";

const seed = Number(process.env["ADTALLY_SEED"]);

it("fault 1: every click is counted exactly once while the program is killed again and again under load", async () => {
  const lines: string[] = [];
  const { faults, figures, kills } = await runExactlyOnce({
    clicks: 10_000,
    rate: 1_500,
    kills: 3,
    stops: 1,
    engineKills: 1,
    ads: 50,
    repeatMostMs: 4_000,
    explained: 200,
    seed,
    say: (line) => lines.push(line),
  }).catch((error: unknown) => {
    throw new Error(`seed ${seed}\n${lines.join("\n")}`, { cause: error });
  });
  expect(faults.slice(0, 20), `seed ${seed}\n${lines.join("\n")}`).toEqual([]);
  expect(kills).toHaveLength(5);
  // The faults must have hit something, or they prove nothing.
  expect(figures["attempts without an answer"]).toBeGreaterThan(0);
  expect(figures["duplicates in ClickHouse"]).toBeGreaterThan(500);
  expect(figures["counted"]).toBeGreaterThan(9_000);
}, 120_000);
