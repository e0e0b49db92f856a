/** `adtally explain`: what became of one click, row by row of the log. */
import type { Command } from "commander";
import { runs, type Context } from "../command.ts";
import { EXIT, Failure } from "../failure.ts";
import { safe } from "../text/table.ts";

export interface Explanation {
  readonly impression_id: string;
  readonly verdict: string;
  readonly reason: string;
  readonly counted: boolean;
  readonly has_more: boolean;
  readonly rows: readonly {
    readonly verdict: string;
    readonly reason: string;
    readonly source: string;
    readonly shard: number;
    readonly log_offset: string;
    readonly row_number: number;
    readonly ad_id: string;
    readonly campaign_id: string;
    readonly advertiser_id: string;
    readonly window: string;
    readonly click_time: string;
    readonly received_time: string;
    readonly generation: number;
    readonly user_agent: string;
  }[];
}

export const explanationOf = (query: Context["query"], id: string): Promise<Explanation> =>
  query.ask<Explanation>("GET", `/v1/clicks/${encodeURIComponent(id)}`);

export function addExplain(program: Command): void {
  runs(
    program
      .command("explain")
      .description("what became of a click")
      .argument("<impression-id>", "the UUID of its impression, as POST /v1/impressions told it"),
    async (context, _options, [id = ""]) => {
      const explanation = await explanationOf(context.query, id).catch((error: unknown) => {
        if (!(error instanceof Failure) || error.exitCode !== EXIT.missing) throw error;
        throw new Failure(EXIT.missing, error.code, error.message, {
          where: error.where,
          remedy:
            "look again in a second; of clicks that came to nothing (BAD_SIGNATURE, UNKNOWN_AD) nothing is kept",
        });
      });
      if (context.output.isJson) context.output.json(explanation);
      else tellExplanation(context, explanation);
    },
  );
}

export function tellExplanation({ output }: Context, explanation: Explanation): void {
  const { paint } = output;
  const { counted, has_more: hasMore, impression_id: id, reason, rows, verdict } = explanation;
  const why = reason === "" || reason === "NONE" ? "" : ` (${reason})`;
  const outcome = counted ? paint.green("counted") : paint.yellow("not counted");
  output.say(`${paint.bold(id)}: ${outcome}, ${verdict}${why}`);
  const [first] = rows;
  if (first !== undefined)
    output.say(
      `ad ${first.ad_id}, campaign ${first.campaign_id}, advertiser ${first.advertiser_id}; clicked ${first.click_time}`,
      "",
    );
  output.table(
    [
      { name: "verdict" },
      { name: "reason" },
      { name: "shard", align: "right" },
      { name: "offset", align: "right" },
      { name: "row", align: "right" },
      { name: "received" },
      { name: "window" },
      { name: "source" },
      { name: "user agent" },
    ],
    rows.map((row) => [
      row.verdict,
      row.reason,
      String(row.shard),
      row.log_offset,
      String(row.row_number),
      row.received_time,
      row.window,
      row.source,
      safe(row.user_agent).slice(0, 60),
    ]),
  );
  if (hasMore) output.note("there are more rows than these");
}
