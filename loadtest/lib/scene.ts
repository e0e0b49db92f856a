/** What every load test of the whole program needs: a folder of its own, the program, a way to ClickHouse. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectClickHouse, type ClickHouse } from "../../actors/adapters/clickhouse/client.ts";
import { hottest, profilingArguments } from "./cpu-profile.ts";
import { freePlace, startProgram, type Program } from "./program.ts";

const HOTTEST = 15;

export interface Scene {
  readonly program: Program;
  readonly clickhouse: ClickHouse;
}

/** Runs `work` on a fresh program, drains it, and cleans up; with `profiled`, prints where its time went. */
export async function withProgram(
  options: { readonly profiled: boolean; readonly args?: readonly string[] },
  work: (scene: Scene) => Promise<void>,
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "adtally-loadtest-"));
  const profiles = join(dir, "profiles");
  let program: Program | undefined;
  let clickhouse: ClickHouse | undefined;
  try {
    const place = await freePlace(join(dir, "data"));
    program = await startProgram(place, options.profiled ? profilingArguments(profiles) : [], options.args);
    clickhouse = connectClickHouse({ url: program.clickhouseUrl });
    await work({ program, clickhouse });
    await program.stop();
    if (options.profiled) for (const line of await hottest(profiles, HOTTEST)) console.log(line);
  } finally {
    await clickhouse?.close();
    await program?.kill();
    await rm(dir, { recursive: true, force: true });
  }
}

/** Valid clicks by the actors' counts, and by the raw rows alone. */
export async function countedClicks(clickhouse: ClickHouse): Promise<number> {
  const [row] = await clickhouse.rows<{ clicks: string }>(
    "SELECT sum(clicks) AS clicks FROM adtally.click_counts FINAL",
  );
  return Number(row?.clicks ?? 0);
}

export async function rawClicks(clickhouse: ClickHouse): Promise<number> {
  const [row] = await clickhouse.rows<{ clicks: string }>(
    "SELECT uniqExact(impression_id) AS clicks FROM adtally.clicks_raw WHERE verdict = 'ACCEPTED'",
  );
  return Number(row?.clicks ?? 0);
}

/** Rows of the raw table, whatever their verdict: cheap to ask for, again and again. */
export async function rawRows(clickhouse: ClickHouse): Promise<number> {
  const [row] = await clickhouse.rows<{ rows: string }>("SELECT count() AS rows FROM adtally.clicks_raw");
  return Number(row?.rows ?? 0);
}
