/** `adtally live`: follows the feed; a table that is drawn again on a terminal, else a line a second. */
import type { Command } from "commander";
import { messageOf } from "../../../actors/core/errors.ts";
import type { SecondEvent } from "../../../actors/live/event.ts";
import { sleep } from "../../../actors/runtime/clock.ts";
import { countOf, runs, textOf, type Context, type Run } from "../command.ts";
import { EXIT, Failure } from "../failure.ts";
import { queryString, refusalOf } from "../http.ts";
import { sparkline } from "../text/sparkline.ts";
import { readEvents, type ServerEvent } from "../text/sse.ts";
import { grouped, table } from "../text/table.ts";

type Second = Omit<SecondEvent, "kind">;

const SHOWN_SECONDS = 60;
const SHOWN_ADS = 10;
const MOST_SECONDS = 86_400;
/** The server tells each second when it is over: so much silence is a broken connection. */
const SILENCE_MS = 15_000;
const AGAIN_MS = [200, 1_000, 2_000, 5_000];
const HOME = "\u001b[H";
const REST_OF_LINE = "\u001b[K";
const REST_OF_SCREEN = "\u001b[J";
const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";

export function addLive(program: Command): void {
  runs(
    program
      .command("live")
      .description("clicks as they are counted, second by second; Ctrl-C ends it")
      .option("--advertiser <id>", "of this advertiser alone")
      .option("--campaign <id>", "of this campaign alone")
      .option("--ad <id>", "of this ad alone")
      .option("--recent <seconds>", "begin so long ago", "0")
      .option("--seconds <count>", "end after so many seconds"),
    live,
  );
}

const live: Run = async (context, options) => {
  const { output } = context;
  const most = countOf(options, "seconds", Infinity, MOST_SECONDS);
  const recent = textOf(options, "recent") ?? "0";
  const fields = {
    advertiser_id: textOf(options, "advertiser"),
    campaign_id: textOf(options, "campaign"),
    ad_id: textOf(options, "ad"),
    recent: recent === "0" ? undefined : recent,
  };
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  const screen = output.isTerminal && !output.isJson;
  const leave = () => void process.stdout.write(LEAVE);
  if (screen) {
    process.stdout.write(ENTER);
    process.once("exit", leave);
  }
  const seconds = new Map<string, Second>();
  let over = 0;
  try {
    for await (const event of follow(context, fields, stop.signal)) {
      if (event.event !== "second") {
        if (output.isJson) tellJson(context, event);
        continue;
      }
      const second = JSON.parse(event.data) as Second;
      seconds.set(second.second, second);
      for (const [first] of seconds) {
        if (seconds.size <= SHOWN_SECONDS) break;
        seconds.delete(first);
      }
      if (output.isJson) tellJson(context, event);
      else if (screen) draw(context, [...seconds.values()]);
      else if (second.over) output.say(lineOf(second));
      if (second.over) over += 1;
      if (over >= most) return;
    }
  } finally {
    stop.abort();
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    if (screen) {
      process.off("exit", leave);
      leave();
    }
  }
};

const tellJson = ({ output }: Context, { data, event, id }: ServerEvent): void =>
  output.json({ event, id, ...(JSON.parse(data) as object) }, 0);

/** Events until it is stopped: a connection that breaks is made again where it was. @throws Failure */
async function* follow(
  context: Context,
  fields: Readonly<Record<string, string | undefined>>,
  stop: AbortSignal,
): AsyncGenerator<ServerEvent> {
  const { clock, output, query } = context;
  const path = `/v1/reports/live${queryString(fields)}`;
  let lastId: string | undefined;
  let failures = 0;
  for (; !stop.aborted; await sleep(clock, AGAIN_MS[Math.min(failures++, AGAIN_MS.length - 1)]!)) {
    const silence = new AbortController();
    const guard = (ms: number) => clock.after(ms, () => silence.abort());
    let timer = guard(SILENCE_MS);
    try {
      const headers = {
        accept: "text/event-stream",
        ...(lastId !== undefined && { "last-event-id": lastId }),
      };
      const answer = await query.open(path, { headers, signal: AbortSignal.any([stop, silence.signal]) });
      if (answer.status !== 200) throw await refusalOf(answer, `GET ${query.url}${path}`, query.name);
      if (answer.body === null) continue;
      for await (const event of readEvents(answer.body)) {
        timer.cancel();
        timer = guard(SILENCE_MS);
        lastId = event.id ?? lastId;
        failures = 0;
        if (event.event !== "end") yield event;
        else assertGoesOn(event, `GET ${query.url}${path}`);
      }
    } catch (error) {
      if (stop.aborted) return;
      // Before the first event a failure is the caller's to know; after it the feed comes back.
      const isFirst = lastId === undefined;
      if (error instanceof Failure && (isFirst || error.exitCode !== EXIT.unreachable)) throw error;
      if (failures === 0) output.note(`the feed broke off (${messageOf(error)}): connecting again`);
    } finally {
      timer.cancel();
    }
  }
}

function assertGoesOn({ data }: ServerEvent, where: string): void {
  const { code, detail } = JSON.parse(data) as { code: string; detail: string };
  if (code === "ACCESS_ENDED")
    throw new Failure(EXIT.forbidden, code, detail, { where, remedy: "take another key" });
}

export function lineOf({ ads, clicks_per_second: clicks, other_clicks: others, second }: Second): string {
  const named = ads.slice(0, SHOWN_ADS).map(({ ad_id: ad, clicks: count }) => `${ad}: ${grouped(count)}`);
  const rest = others + ads.slice(SHOWN_ADS).reduce((sum, each) => sum + each.clicks, 0);
  const parts = rest > 0 ? [...named, `others: ${grouped(rest)}`] : named;
  return `${second}  ${grouped(clicks).padStart(7)} clicks/s${parts.length === 0 ? "" : `  ${parts.join("  ")}`}`;
}

/** The last minute: what came of all, and of the ads with most. */
export function screenOf(seconds: readonly Second[], columns: number): readonly string[] {
  const now = seconds.findLast(({ over }) => over) ?? seconds.at(-1);
  const sums = new Map<string, { readonly campaign: string; clicks: number }>();
  for (const { ads } of seconds)
    for (const { ad_id: ad, campaign_id: campaign, clicks } of ads) {
      const known = sums.get(ad) ?? { campaign, clicks: 0 };
      sums.set(ad, { campaign, clicks: known.clicks + clicks });
    }
  const total = seconds.reduce((sum, each) => sum + each.clicks_per_second, 0);
  const rows = [...sums]
    .sort(([, a], [, b]) => b.clicks - a.clicks)
    .slice(0, SHOWN_ADS)
    .map(([ad, { campaign, clicks }]) => [
      ad,
      campaign,
      grouped(clicks),
      sparkline(
        seconds.map(({ ads }) => ads.find((each) => each.ad_id === ad)?.clicks ?? 0),
        Math.min(SHOWN_SECONDS, Math.max(10, columns - 50)),
      ),
    ]);
  return [
    `${grouped(now?.clicks_per_second ?? 0)} clicks/s at ${now?.second ?? "?"}; ${grouped(total)} in ${seconds.length} s`,
    sparkline(
      seconds.map((each) => each.clicks_per_second),
      Math.min(SHOWN_SECONDS, columns - 1),
    ),
    "",
    ...table([{ name: "ad" }, { name: "campaign" }, { name: "clicks", align: "right" }, { name: "" }], rows),
    "",
    "Ctrl-C ends it",
  ];
}

function draw({ output }: Context, seconds: readonly Second[]): void {
  const lines = screenOf(seconds, output.columns);
  output.raw(`${HOME}${lines.map((line) => line + REST_OF_LINE).join("\n")}${REST_OF_SCREEN}`);
}
