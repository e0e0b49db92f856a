/** `adtally shards` and `adtally splits`: who owns what, how far it is, which ads are spread. */
import type { Command } from "commander";
import { runs, type Run } from "../command.ts";
import { grouped } from "../text/table.ts";

interface Shards {
  readonly assignment_version: number;
  readonly shards: readonly {
    readonly shard: number;
    readonly host: string | null;
    readonly epoch: number | null;
    readonly in_use: boolean;
    readonly log_next_offset: string | null;
    readonly counted_next_offset: string | null;
    readonly lag_blocks: number | null;
    readonly watermark: string | null;
  }[];
}

interface Routing {
  readonly generations: readonly {
    readonly generation: number;
    readonly in_force_from: string | null;
    readonly in_force: boolean;
    readonly shards: number;
    readonly splits: readonly { readonly ad_id: string; readonly ways: number }[];
  }[];
}

export function addCluster(program: Command): void {
  runs(program.command("shards").description("each shard: its owner, offsets, lag and watermark"), shards);
  runs(
    program
      .command("splits")
      .description("hot ads that are spread over several shards, by routing generation")
      .option("--all", "older generations too, whose clicks may still come"),
    splits,
  );
}

const shards: Run = async ({ output, query }) => {
  const found = await query.ask<Shards>("GET", "/v1/shards");
  if (output.isJson) {
    output.json(found);
    return;
  }
  const { paint } = output;
  const lagOf = (lag: number | null) => (lag === null ? "?" : lag === 0 ? "0" : paint.yellow(grouped(lag)));
  output.table(
    [
      { name: "shard", align: "right" },
      { name: "owner" },
      { name: "epoch", align: "right" },
      { name: "in use" },
      { name: "log", align: "right" },
      { name: "counted", align: "right" },
      { name: "lag", align: "right" },
      { name: "watermark" },
    ],
    found.shards.map((each) => [
      String(each.shard),
      each.host ?? paint.red("nobody"),
      each.epoch === null ? "" : String(each.epoch),
      each.in_use ? "yes" : "no",
      each.log_next_offset ?? "?",
      each.counted_next_offset ?? "?",
      lagOf(each.lag_blocks),
      each.watermark ?? "none yet",
    ]),
  );
  const unknown = found.shards.filter(({ lag_blocks: lag }) => lag === null).length;
  if (unknown > 0) output.note("? stands where the log or ClickHouse did not answer: adtally doctor");
};

const splits: Run = async ({ output, query }, options) => {
  const { generations } = await query.ask<Routing>("GET", "/v1/routing");
  const isAll = options["all"] === true;
  const current = generations.findIndex((each) => each.in_force);
  const shown = isAll || current < 0 ? generations : generations.slice(0, current + 1);
  if (output.isJson) {
    output.json({ generations: shown });
    return;
  }
  output.table(
    [
      { name: "generation", align: "right" },
      { name: "in force" },
      { name: "shards", align: "right" },
      { name: "ad" },
      { name: "ways", align: "right" },
    ],
    shown.flatMap((each) => {
      const since = each.in_force_from === null ? "from the beginning" : `from ${each.in_force_from}`;
      const about = [String(each.generation), each.in_force ? `now, ${since}` : since, String(each.shards)];
      if (each.splits.length === 0) return [[...about, "no ad is split", ""]];
      return each.splits.map(({ ad_id: ad, ways }) => [...about, ad, String(ways)]);
    }),
  );
};
