/**
 * What the operator says of a ClickCluster. The planner has no memory but this: what it must know of
 * earlier (since when a host is away, since when fewer would do, what it has published) stands here.
 */
import { z } from "zod";
import { conditions } from "./meta.ts";
import { listByKeys, text, time, whole } from "./schema.ts";

const count = (max = 1_000_000) => whole(0, max);
const large = whole(0, Number.MAX_SAFE_INTEGER);

const deployment = (of: string) =>
  z
    .object({
      replicas: count().describe(`${of} that there are.`),
      ready: count().describe(`${of} that are ready.`),
    })
    .optional()
    .describe(`The ${of.toLowerCase()}.`);

const host = z.object({
  name: text(253).describe("Its pod, and its name in the assignment."),
  shards: count(4_096).describe("Shards that it is assigned."),
  awaySince: time.optional().describe("Since when it cannot be given shards."),
});

export const clickClusterStatus = z.object({
  observedGeneration: large.optional().describe("Generation of the spec of which this speaks."),
  conditions,
  shards: z
    .object({
      count: count(4_096).describe("Shards of the newest routing generation."),
      live: count(4_096).describe("Shards that a generation by which clicks may still come routes to."),
      owned: count(4_096).describe("Shards whose owner says that it serves them."),
    })
    .optional()
    .describe("The shards."),
  routing: z
    .object({
      generation: count(65_535).describe("Number of the newest routing generation."),
      inForceFrom: time.describe("When it takes force."),
    })
    .optional()
    .describe(
      "The routing table that was published last. An older one, or none, is never taken for the newest.",
    ),
  assignmentVersion: large.optional().describe("Version of the assignment that was published last."),
  actors: z
    .object({
      replicas: count().describe("Actor hosts that there are."),
      up: count().describe("Actor hosts that can be given shards."),
      updated: count().describe("Actor hosts that run what the spec says."),
      recommended: count().optional().describe("Actor hosts that the load asks for."),
      fewerSince: time.optional().describe("Since when fewer of them would do."),
      selector: text(1_024).describe("Label selector of their pods, for kubectl scale and autoscalers."),
      hosts: listByKeys(host.describe("One actor host."), ["name"], 1_000).describe("Each of them."),
    })
    .optional()
    .describe("The actor hosts."),
  gateways: deployment("Gateways"),
  query: deployment("Query services"),
  ingest: deployment("Raw ingesters"),
  clicksPerSecond: large.optional().describe("Clicks a second, to two digits."),
  lagClicks: large
    .optional()
    .describe(
      "Clicks that the hosts are behind the log, to two digits; fewer than 1,000 are merely under way, and told as 0.",
    ),
  splits: count().optional().describe("Ads that are split."),
});

export type ClickClusterStatus = z.output<typeof clickClusterStatus>;
