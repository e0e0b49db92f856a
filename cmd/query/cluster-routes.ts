/**
 * How the cluster stands, for whoever looks after it: GET /v1/shards (who owns which shard, how far
 * its counts reach) and GET /v1/routing (generations, and the ads that are split). Needs a key of
 * scope "admin".
 *
 *  O1 A part that does not answer leaves its columns null; the rest is told all the same.
 */
import type { FastifyPluginAsync } from "fastify";
import type { RequireScope } from "../../actors/adapters/http/auth.ts";
import type { Assignment } from "../../actors/assignment/assignment.ts";
import { messageOf } from "../../actors/core/errors.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { ClickLog } from "../../actors/ports/click-log.ts";
import type { CountSink } from "../../actors/ports/count-sink.ts";
import { shardsEver, shardsInUse, type RoutingTable } from "../../actors/routing/table.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import { withDeadline } from "../../actors/runtime/deadline.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import { idSchema, problemResponses } from "../gateway/schemas.ts";

export interface ClusterRouteDeps {
  readonly table: () => RoutingTable;
  readonly assignment: () => Assignment;
  readonly clicks: Pick<ClickLog, "bounds">;
  readonly checkpoints: CountSink["readCheckpoints"];
  readonly requireScope: RequireScope;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A page that a person waits for. */
const LOOK_MS = 3_000;

const offset = (description: string) =>
  ({ type: "string", nullable: true, description: `${description} 64-bit, in decimal.` }) as const;

const shardSchema = {
  type: "object",
  properties: {
    shard: { type: "integer" },
    host: { type: "string", nullable: true, description: "Its owner in the assignment; null: nobody." },
    address: { type: "string", nullable: true, description: "Where that one's ShardService is reached." },
    epoch: { type: "integer", nullable: true, description: "The assignment by which it came there." },
    in_use: { type: "boolean", description: "A live routing generation leads clicks to it." },
    log_next_offset: offset("The offset that its next block will have in the click log; null: not known."),
    counted_next_offset: offset("Up to where reports have its blocks; null: not known."),
    lag_blocks: { type: "integer", nullable: true, description: "Blocks that reports lack." },
    watermark: { type: "string", nullable: true, description: "Counts before it are final." },
  },
} as const;

const generationSchema = {
  type: "object",
  properties: {
    generation: { type: "integer" },
    in_force_from: { type: "string", nullable: true, description: "Null: from the beginning." },
    in_force: { type: "boolean", description: "Impressions of now are of it." },
    shards: { type: "integer" },
    splits: {
      type: "array",
      items: {
        type: "object",
        properties: {
          ad_id: idSchema("The ad."),
          ways: { type: "integer", description: "Over so many shards." },
        },
      },
    },
  },
} as const;

const iso = (timeMs: number) => new Date(timeMs).toISOString();

export function clusterRoutes(deps: ClusterRouteDeps): FastifyPluginAsync {
  const { assignment, clicks, clock, limits, logger, table } = deps;
  const onRequest = deps.requireScope("admin");
  const shared = { tags: ["cluster"], security: [{ key: [] }] };

  /** O1 */
  async function known<T>(what: string, work: Promise<T>): Promise<T | undefined> {
    try {
      return await withDeadline(clock, LOOK_MS, what, work);
    } catch (error) {
      logger.warn({ error: messageOf(error) }, `shards told without ${what}`);
      return undefined;
    }
  }

  async function shardsNow() {
    const { hosts, shards: owners, version } = assignment();
    const routing = table();
    const all = [...new Set([...shardsEver(routing), ...owners.keys()])].sort((a, b) => a - b);
    const inUse = new Set(shardsInUse(routing, clock.now(), limits));
    const ends = known("the click log", Promise.all(all.map((shard) => clicks.bounds(shard))));
    const [bounds, checkpoints] = await Promise.all([ends, known("ClickHouse", deps.checkpoints())]);
    const checkpointOf = new Map(checkpoints?.map((each) => [each.shard, each]));
    const rows = all.map((shard, at) => {
      const owner = owners.get(shard);
      const next = bounds?.[at]?.next;
      const checkpoint = checkpointOf.get(shard);
      const counted = checkpoints && (checkpoint?.offset ?? -1) + 1;
      const watermarkMs = checkpoint?.watermarkMs ?? 0;
      return {
        shard,
        host: owner?.host ?? null,
        address: (owner && hosts.get(owner.host)) ?? null,
        epoch: owner?.epoch ?? null,
        in_use: inUse.has(shard),
        log_next_offset: next === undefined ? null : String(next),
        counted_next_offset: counted === undefined ? null : String(counted),
        // The log was asked first or the counts were: a moment between them is no negative lag.
        lag_blocks: next === undefined || counted === undefined ? null : Math.max(0, next - counted),
        watermark: watermarkMs > 0 ? iso(watermarkMs) : null,
      };
    });
    return { assignment_version: version, shards: rows };
  }

  function routingNow() {
    const nowMs = clock.now();
    const { newestFirst } = table();
    const current = newestFirst.find(({ inForceFromMs }) => inForceFromMs <= nowMs);
    const generations = newestFirst.map((each) => ({
      generation: each.number,
      in_force_from: each.inForceFromMs > 0 ? iso(each.inForceFromMs) : null,
      in_force: each === current,
      shards: each.shardCount,
      splits: [...each.splits].map(([ad, ways]) => ({ ad_id: String(ad), ways })),
    }));
    return { generations };
  }

  return async (app) => {
    app.get(
      "/v1/shards",
      {
        onRequest,
        schema: {
          ...shared,
          summary: "Each shard: its owner, how far its log and its counts reach.",
          response: {
            200: {
              type: "object",
              properties: {
                assignment_version: { type: "integer" },
                shards: { type: "array", items: shardSchema },
              },
            },
            ...problemResponses(401, 403),
          },
        },
      },
      async (_request, reply) => {
        reply.header("cache-control", "no-store");
        return shardsNow();
      },
    );

    app.get(
      "/v1/routing",
      {
        onRequest,
        schema: {
          ...shared,
          summary: "The routing generations, newest first, with the ads that each splits.",
          response: {
            200: {
              type: "object",
              properties: {
                generations: { type: "array", items: generationSchema },
              },
            },
            ...problemResponses(401, 403),
          },
        },
      },
      async (_request, reply) => {
        reply.header("cache-control", "no-store");
        return routingNow();
      },
    );
  };
}
