/** `adtally click`: shows an ad, clicks it as a browser would, and says what came of it. */
import type { Command } from "commander";
import { sleep } from "../../../actors/runtime/clock.ts";
import { countOf, runs, type Context, type Run } from "../command.ts";
import { EXIT, Failure } from "../failure.ts";
import { safe } from "../text/table.ts";
import { explanationOf, tellExplanation, type Explanation } from "./explain.ts";

const LOOK_MS = 200;
const MOST_TIMES = 100;
const USER_AGENT = "adtally-cli";

interface Issued {
  readonly impressions: readonly {
    readonly impression_id: string;
    readonly click_url: string;
    readonly expires_at: string;
  }[];
}

interface Redirect {
  readonly status: number;
  readonly location: string | null;
  /** Set where the click was redirected and nothing of it could be kept. */
  readonly is_kept: boolean;
}

export function addClick(program: Command): void {
  runs(
    program
      .command("click")
      .description("show an ad, click it, and say what came of it")
      .argument("<ad-id>")
      .option(
        "--times <count>",
        `click the same impression so often, up to ${MOST_TIMES}; it counts once`,
        "1",
      )
      .option("--no-wait", "do not wait for the verdict"),
    click,
  );
}

const click: Run = async (context, options, [adId = ""]) => {
  const { config, gateway, output } = context;
  const times = countOf(options, "times", 1, MOST_TIMES);
  const { impressions } = await gateway.ask<Issued>("POST", "/v1/impressions", { ad_id: adId });
  const [{ click_url: url, expires_at: expiresAt, impression_id: id }] = impressions as [
    Issued["impressions"][0],
  ];
  // Its public address may lead elsewhere, or nowhere from here: --url says which gateway is meant.
  const { pathname, search } = new URL(url);
  const redirects: Redirect[] = [];
  for (let i = 0; i < times; i++) redirects.push(await redirectOf(context, `${pathname}${search}`));
  const explanation = options["wait"] === false ? undefined : await verdictOf(context, id, times);
  if (output.isJson)
    output.json({ impression_id: id, click_url: url, expires_at: expiresAt, redirects, explanation });
  else {
    for (const { location, status } of redirects)
      output.say(
        `clicked ${config.url}${pathname}?i=…: ${status}${location === null ? "" : ` to ${safe(location)}`}`,
      );
    if (explanation === undefined) output.say(`impression ${id}: adtally explain ${id} says what came of it`);
    else tellExplanation(context, explanation);
  }
  const refused = redirects.find(({ is_kept: isKept, status }) => status !== 302 || !isKept);
  if (refused !== undefined)
    throw new Failure(
      EXIT.failed,
      "NOT_REDIRECTED",
      `the click was answered ${refused.status}, and is not kept`,
      {
        where: `GET ${config.url}${pathname}`,
        remedy: "adtally doctor looks for what is wrong",
      },
    );
  if (explanation !== undefined && !explanation.counted)
    throw new Failure(EXIT.failed, explanation.verdict, `the click was not counted: ${explanation.reason}`);
};

async function redirectOf({ gateway }: Context, path: string): Promise<Redirect> {
  const answer = await gateway.open(path, { headers: { "user-agent": USER_AGENT } });
  await answer.arrayBuffer();
  const { headers, status } = answer;
  return { status, location: headers.get("location"), is_kept: headers.get("adtally-click") !== "not-kept" };
}

/** Once as many rows are there as clicks were made. */
async function verdictOf({ clock, config, query }: Context, id: string, times: number): Promise<Explanation> {
  const untilMs = clock.monotonic() + config.timeoutSeconds * 1_000;
  for (;;) {
    const found = await explanationOf(query, id).catch((error: unknown) => {
      if (error instanceof Failure && error.exitCode === EXIT.missing) return undefined;
      throw error;
    });
    if (found !== undefined && (found.has_more || found.rows.length >= times)) return found;
    if (clock.monotonic() >= untilMs) {
      if (found !== undefined) return found;
      throw new Failure(EXIT.unreachable, "NO_VERDICT", `no verdict within ${config.timeoutSeconds} s`, {
        where: `GET ${query.url}/v1/clicks/${id}`,
        remedy: `adtally explain ${id} looks again; adtally shards says what lags`,
      });
    }
    await sleep(clock, LOOK_MS);
  }
}
