/** `adtally dead-letters`: clicks that were late or expired; listed, looked at, replayed. */
import type { Command } from "commander";
import { countOf, runs, textOf, type Context, type Run } from "../command.ts";
import { EXIT, Failure, usage } from "../failure.ts";
import { queryString } from "../http.ts";
import { explanationOf, tellExplanation } from "./explain.ts";

interface Letter {
  readonly id: string;
  readonly impression_id: string;
  readonly ad_id: string;
  readonly campaign_id: string;
  readonly advertiser_id: string;
  readonly verdict: string;
  readonly reason: string;
  readonly click_time: string;
  readonly received_time: string;
  readonly shard: number;
  readonly log_offset: string;
  readonly replayed: boolean | null;
  readonly impression_counted: boolean | null;
}

interface Page {
  readonly dead_letters: readonly Letter[];
  readonly next: string | null;
}

interface Replay {
  readonly id: string;
  readonly verdict: string;
  readonly reason: string;
  readonly shard: number;
  readonly log_offset?: string;
}

const LIST_MAX = 1_000;
const LAST_ROW = 9_999_999;
const ID = /^(\d{1,5})-(\d{1,15})-(\d{1,7})$/;

export function addDeadLetters(program: Command): void {
  const letters = program
    .command("dead-letters")
    .description("clicks that were late or expired, and may be replayed");
  runs(
    letters
      .command("list")
      .description("in order of shard and offset")
      .option("--after <id>", "those behind this one")
      .option("--limit <count>", `at the most, up to ${LIST_MAX}`, "100"),
    list,
  );
  runs(
    letters.command("show").description("one of them, and what became of its impression").argument("<id>"),
    show,
  );
  runs(
    letters
      .command("replay")
      .description("judge them again without their lateness; a click that was counted counts no second time")
      .argument("<id...>"),
    replay,
  );
}

const yesNo = (value: boolean | null): string => (value === null ? "?" : value ? "yes" : "no");

const list: Run = async ({ output, query }, options) => {
  const fields = { limit: String(countOf(options, "limit", 100, LIST_MAX)), after: textOf(options, "after") };
  const page = await query.ask<Page>("GET", `/v1/dead-letters${queryString(fields)}`);
  if (output.isJson) {
    output.json(page);
    return;
  }
  output.table(
    [
      { name: "id" },
      { name: "verdict" },
      { name: "reason" },
      { name: "ad" },
      { name: "clicked" },
      { name: "received" },
      { name: "replayed" },
      { name: "counted" },
      { name: "impression" },
    ],
    page.dead_letters.map((letter) => [
      letter.id,
      letter.verdict,
      letter.reason,
      letter.ad_id,
      letter.click_time,
      letter.received_time,
      yesNo(letter.replayed),
      yesNo(letter.impression_counted),
      letter.impression_id,
    ]),
  );
  if (page.dead_letters.length === 0) output.note("no dead letters");
  if (page.next !== null) output.note(`there may be more: --after ${page.next}`);
};

/** The id before: whatever is listed behind it begins with this one. */
export function before(id: string): string | undefined {
  const [, shard, offset, row] = ID.exec(id) ?? [];
  if (shard === undefined)
    throw usage(
      `"${id}" is no dead letter's id`,
      "shard-offset-row, such as 0-17-3; adtally dead-letters list has them",
    );
  if (Number(row) > 0) return `${shard}-${offset}-${Number(row) - 1}`;
  if (Number(offset) > 0) return `${shard}-${Number(offset) - 1}-${LAST_ROW}`;
  return Number(shard) > 0
    ? `${Number(shard) - 1}-${Number.MAX_SAFE_INTEGER.toString().slice(0, 15)}-${LAST_ROW}`
    : undefined;
}

async function find({ query }: Context, id: string): Promise<Letter> {
  const { dead_letters: found } = await query.ask<Page>(
    "GET",
    `/v1/dead-letters${queryString({ limit: "1", after: before(id) })}`,
  );
  const [letter] = found;
  if (letter?.id === id) return letter;
  throw new Failure(EXIT.missing, "NOT_FOUND", `there is no dead letter ${id}`, {
    where: `GET ${query.url}/v1/dead-letters`,
    remedy: "adtally dead-letters list tells which there are",
  });
}

const show: Run = async (context, _options, [id = ""]) => {
  const { output, query } = context;
  const letter = await find(context, id);
  const explanation = await explanationOf(query, letter.impression_id).catch((error: unknown) => {
    if (error instanceof Failure && error.exitCode === EXIT.missing) return undefined;
    throw error;
  });
  if (output.isJson) {
    output.json({ dead_letter: letter, explanation: explanation ?? null });
    return;
  }
  output.table(
    [{ name: "field" }, { name: "value" }],
    Object.entries<string | number | boolean | null>({ ...letter }).map(([name, value]) => [
      name,
      typeof value === "boolean" || value === null ? yesNo(value) : String(value),
    ]),
  );
  output.say("");
  if (explanation === undefined)
    output.say("no row of its impression is in the raw table: they stay for a week");
  else tellExplanation(context, explanation);
};

const replay: Run = async ({ output, query }, _options, ids) => {
  const replays: Replay[] = [];
  for (const id of ids) {
    const done = await query.ask<Replay>("POST", `/v1/dead-letters/${encodeURIComponent(id)}/replay`);
    replays.push(done);
    output.progress(`${replays.length} of ${ids.length} replayed`);
    if (output.isJson) output.json(done, 0);
  }
  if (output.isJson) return;
  output.table(
    [
      { name: "id" },
      { name: "verdict" },
      { name: "reason" },
      { name: "shard", align: "right" },
      { name: "offset", align: "right" },
    ],
    replays.map((done) => [
      done.id,
      done.verdict,
      done.reason,
      String(done.shard),
      done.log_offset ?? "deferred",
    ]),
  );
};
