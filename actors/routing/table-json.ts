/**
 * The routing table as JSON: one form for the routing topic, Redis' fast copy and the file of
 * the embedded form.
 *   {"retired_shards":8,"generations":[{"number":1,"in_force_from_ms":0,"shard_count":4,"splits":{"1001":4}}]}
 * What is read is checked as strictly as a change would be: a table that could route two copies
 * of a click apart is refused whole.
 */
import { messageOf } from "../core/errors.ts";
import { idKeyOf, parseU64 } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import { GENERATION_MAX } from "./generation.ts";
import type { Generation } from "./generation.ts";
import { assertWays, invalid, tableOf } from "./table.ts";
import type { RoutingTable } from "./table.ts";

export function encodeTable(table: RoutingTable): string {
  const generations = table.newestFirst.toReversed().map((each) => ({
    number: each.number,
    in_force_from_ms: each.inForceFromMs,
    shard_count: each.shardCount,
    splits: Object.fromEntries([...each.splits].map(([adId, ways]) => [String(adId), ways])),
  }));
  const { retiredShards } = table;
  return JSON.stringify({ generations, ...(retiredShards > 0 && { retired_shards: retiredShards }) });
}

/** `readAtMs`: the reader's clock when the read began. @throws INPUT_INVALID, naming what and where. */
export function decodeTable(text: string, readAtMs: number, limits: Pick<Limits, "maxShards">): RoutingTable {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(`the table is not JSON: ${messageOf(error)}`);
  }
  const generations = isObject(value) ? value["generations"] : undefined;
  if (!Array.isArray(generations)) throw invalid('the table must be an object with a list "generations"');
  const retiredShards = isObject(value) ? (value["retired_shards"] ?? 0) : 0;
  if (typeof retiredShards !== "number" || !Number.isInteger(retiredShards) || retiredShards < 0)
    throw invalid(`retired_shards is ${JSON.stringify(retiredShards)}: it must be a whole number`);
  return tableOf(
    generations.map((each: unknown, i) => decodeGeneration(each, `generations[${i}]`, limits)),
    readAtMs,
    retiredShards,
  );
}

function decodeGeneration(value: unknown, at: string, limits: Pick<Limits, "maxShards">): Generation {
  if (!isObject(value)) throw invalid(`${at} must be an object`);
  const whole = (field: string, least: number, most: number): number => {
    const number = value[field];
    if (typeof number === "number" && Number.isInteger(number) && number >= least && number <= most)
      return number;
    throw invalid(
      `${at}.${field} is ${JSON.stringify(number)}: it must be a whole number from ${least} to ${most}`,
    );
  };
  const shardCount = whole("shard_count", 1, limits.maxShards);
  const listed = value["splits"];
  if (!isObject(listed)) throw invalid(`${at}.splits must be an object of ad id to ways`);
  const splits = Object.entries(listed).map(([text, ways]) => {
    const adId = parseU64(text);
    if (adId === undefined) throw invalid(`${at}.splits: ${JSON.stringify(text)} is not an ad id`);
    const key = idKeyOf(adId);
    if (typeof ways !== "number") throw invalid(`${at}.splits: the ways of ad ${text} must be a number`);
    assertWays(key, ways, shardCount);
    return [key, ways] as const;
  });
  return {
    number: whole("number", 1, GENERATION_MAX),
    inForceFromMs: whole("in_force_from_ms", 0, Number.MAX_SAFE_INTEGER),
    shardCount,
    splits: new Map(splits),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
