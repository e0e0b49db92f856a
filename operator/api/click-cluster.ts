/**
 * ClickCluster: one adtally, whole. What a person wants of it; its status is in
 * click-cluster-status.ts.
 *
 * A default, once released, stays: what pods run is told apart by the fields that are not as
 * defaulted (release.ts), and a new default would restart them all by itself.
 */
import { z } from "zod";
import { clickClusterStatus, type ClickClusterStatus } from "./click-cluster-status.ts";
import { backends, secretKey } from "./endpoints.ts";
import type { ObjectMeta } from "./meta.ts";
import { dnsName, percent, resources, ruled, storageSize, text, whole } from "./schema.ts";

const minToMax = { rule: "self.min <= self.max", message: "min must not be above max" };
const replicas = "How many; obeyed unless autoscaling is Auto. kubectl scale sets this of the actor hosts.";
const storageClassName = dnsName
  .optional()
  .describe("StorageClass of the volumes; the cluster's default where unset.");

/** StatefulSets have it so. */
const fixed = {
  rule: "self == oldSelf",
  message: "volumes cannot be changed: delete the ClickCluster, which drains it, and make it again",
};

const shards = ruled(
  z.object({
    min: whole(1, 4_096).default(16).describe("Shards at the start. The operator adds more by load."),
    max: whole(1, 4_096)
      .default(64)
      .describe("Shards at the most. The click log's topics are made with so many partitions, one a shard."),
    clicksPerSecond: whole(1, 1_000_000)
      .default(20_000)
      .describe("What one shard carries: hot ads and the number of shards are judged by it."),
  }),
  minToMax,
);

const actors = ruled(
  z.object({
    replicas: whole(1, 1_000).default(1).describe(replicas),
    min: whole(1, 1_000).default(1).describe("Actor hosts at the least."),
    max: whole(1, 1_000).default(8).describe("Actor hosts at the most."),
    clicksPerSecond: whole(1, 10_000_000)
      .default(50_000)
      .describe("What one actor host carries: they are scaled by it."),
    movesAtOnce: whole(1, 256)
      .default(4)
      .describe("Shards that may be on the way from one living host to another at the same time."),
    awaySeconds: whole(5, 86_400)
      .default(60)
      .describe("How long a host may be away, its volume with it, before its shards go to others."),
    resources,
    storage: ruled(
      z.object({
        size: storageSize.default("10Gi").describe("Size of each host's volume."),
        storageClassName,
      }),
      fixed,
    )
      .prefault({})
      .describe("Volume of each actor host: the shards' state, which the log can give back."),
  }),
  minToMax,
  {
    rule: "self.min <= self.replicas && self.replicas <= self.max",
    message: "replicas must lie between min and max",
  },
);

const gateways = ruled(
  z.object({
    min: whole(1, 1_000).default(2).describe("Gateways at the least."),
    max: whole(1, 1_000)
      .default(2)
      .describe("Gateways at the most: a HorizontalPodAutoscaler goes up to it by CPU."),
    targetCpuPercent: percent()
      .default(70)
      .describe("CPU in use, of what is requested, that the autoscaler aims at."),
    resources,
    spool: ruled(
      z.object({
        size: storageSize
          .default("4Gi")
          .describe("Size of each gateway's volume; a quarter of it is for its copy of the ads."),
        storageClassName,
      }),
      fixed,
    )
      .prefault({})
      .describe("Disk on which clicks wait while the log cannot take them."),
    publicUrl: text(2_048, /^https?:\/\/\S+$/)
      .optional()
      .describe("Where browsers reach the gateways."),
  }),
  minToMax,
);

const query = z.object({
  replicas: whole(0, 100).default(1).describe("How many query services."),
  resources,
});

const ingest = z.object({ resources });

const autoscaling = z.object({
  mode: z
    .enum(["Off", "MetricsOnly", "Auto"])
    .default("MetricsOnly")
    .describe(
      "Auto scales actor hosts and shards by load. MetricsOnly says in the status how many hosts there should be, and leaves them as they are. Off does neither.",
    ),
  targetPercent: percent(10, 95)
    .default(60)
    .describe("How much of what a host or a shard carries is to be in use."),
  maxLagClicks: whole(1_000, Number.MAX_SAFE_INTEGER)
    .default(500_000)
    .describe("Clicks that one host may be behind the log before there must be one more."),
  scaleDownAfterSeconds: whole(0, 86_400)
    .default(600)
    .describe("How long fewer hosts must have been enough before there are fewer."),
});

const hotAds = ruled(
  z.object({
    mode: z
      .enum(["Off", "Auto"])
      .default("Auto")
      .describe("Auto splits hot ads and merges them again. Off leaves HotAdSplits to people."),
    splitAbovePercent: percent(5, 100)
      .default(50)
      .describe(
        "An ad that gets more of one shard's capacity than this is split; a split one, by its share of a way.",
      ),
    mergeBelowPercent: percent(1, 50)
      .default(20)
      .describe("An ad that would get less than this on half as many shards is merged, or split less."),
    mergeAfterSeconds: whole(0, 86_400).default(900).describe("How long it must have been so."),
    maxWays: whole(2, 256).default(16).describe("Shards that one ad is split over at the most."),
  }),
  {
    rule: "self.mergeBelowPercent * 2 <= self.splitAbovePercent",
    message:
      "mergeBelowPercent must be at most half of splitAbovePercent, else an ad is split and merged in turn",
  },
);

const retention = ruled(
  z.object({
    tokenLifeSeconds: whole(60, 86_400)
      .default(7_200)
      .describe("How long after its impression a click can count."),
    allowedLatenessSeconds: whole(0, 3_600)
      .default(300)
      .describe("How far a click's own time may lie before its receipt."),
    clockSkewSeconds: whole(1, 85)
      .default(60)
      .describe(
        "How far clocks may differ. A routing generation takes force three times as long, and 90 s, after it is published.",
      ),
    dedupRetentionSeconds: whole(60, 172_800)
      .default(9_000)
      .describe("How long a shard remembers a counted click."),
    logRetentionSeconds: whole(3_600, 7_776_000)
      .default(604_800)
      .describe("How long the click log keeps clicks."),
  }),
  {
    rule: "self.dedupRetentionSeconds >= self.tokenLifeSeconds + self.allowedLatenessSeconds + self.clockSkewSeconds",
    message:
      "dedupRetentionSeconds must be at least tokenLifeSeconds + allowedLatenessSeconds + clockSkewSeconds: a token must die before its memory does, else one click can count twice",
  },
  {
    rule: "self.logRetentionSeconds >= 2 * self.dedupRetentionSeconds",
    message:
      "logRetentionSeconds must be at least twice dedupRetentionSeconds: a lost volume is made again from the log",
  },
  {
    rule: "self.clockSkewSeconds >= oldSelf.clockSkewSeconds",
    message:
      "clockSkewSeconds cannot be lowered: routing generations would take force sooner than gateways that run with the longer one look for them",
  },
  {
    rule: "self.tokenLifeSeconds + self.allowedLatenessSeconds + self.clockSkewSeconds <= oldSelf.dedupRetentionSeconds",
    message:
      "clicks cannot count for longer than shards have remembered them so far: raise dedupRetentionSeconds alone first, and the others once that time has passed",
  },
);

const spec = ruled(
  z.object({
    image: text(1_024, /^\S+$/).describe(
      "Image of every program of the cluster. It alone, and what is set here, restarts pods.",
    ),
    imagePullPolicy: z
      .enum(["Always", "IfNotPresent", "Never"])
      .default("IfNotPresent")
      .describe("When the image is pulled."),
    imagePullSecrets: z
      .array(
        z
          .object({ name: dnsName.describe("Name of a Secret in the same namespace.") })
          .describe("A Secret (kubernetes.io/dockerconfigjson)."),
      )
      .max(8)
      .optional()
      .describe(
        "Secrets for the image's registry. They stand in the service account of the pods: to change them restarts none.",
      ),
    paused: z
      .boolean()
      .default(false)
      .describe("True: the operator looks, says what it sees, and touches nothing."),
    shards: shards.prefault({}).describe("The shares of the ads, each counted by one actor."),
    actors: actors.prefault({}).describe("The processes that run the shards."),
    gateways: gateways.prefault({}).describe("What takes clicks."),
    query: query.prefault({}).describe("What answers reports."),
    ingest: ingest.prefault({}).describe("What carries the click log into ClickHouse's raw table: one pod."),
    autoscaling: autoscaling
      .prefault({})
      .describe("How the number of actor hosts and of shards follows the load."),
    hotAds: hotAds.prefault({}).describe("When ads are split and merged."),
    retention: retention
      .prefault({})
      .describe("How long what is remembered, and how long a click can count."),
    tokenKeys: secretKey("tokens.json").describe("Secret of the keys that sign tokens (npm run token-keys)."),
    adminKey: secretKey("admin-key").optional().describe("Secret of the API key that may do everything."),
    ...backends,
    drainSeconds: whole(0, 86_400)
      .default(600)
      .describe(
        "How long a deleted cluster may take to count what it holds, before it goes all the same. The log keeps the rest.",
      ),
  }),
  {
    rule: "self.actors.max <= self.shards.max",
    message: "actors.max must not be above shards.max: a host without a shard has nothing to do",
  },
  {
    rule: "self.redpanda.topicPrefix == oldSelf.redpanda.topicPrefix",
    message: "redpanda.topicPrefix cannot be changed: the counted clicks stand in those topics",
  },
);

export const clickCluster = ruled(
  z.object({
    spec: spec.describe("What is wanted."),
    status: clickClusterStatus.optional().describe("What is there."),
  }),
  {
    rule: "size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    message:
      "metadata.name must be up to 40 lowercase letters, digits and dashes, beginning with a letter: Services and pods are named after it",
  },
  {
    rule: [
      "self.spec.shards.max >= oldSelf.spec.shards.max",
      "!has(oldSelf.status) || !has(oldSelf.status.shards)",
      "self.spec.shards.max >= oldSelf.status.shards.live",
    ].join(" || "),
    message:
      "shards.max must not be below the shards of a live generation (status.shards.live): clicks still go to them",
  },
);

export type ClickClusterSpec = z.output<typeof spec>;
export interface ClickCluster {
  readonly metadata: ObjectMeta;
  readonly spec: ClickClusterSpec;
  readonly status?: ClickClusterStatus | undefined;
}

/** With all defaults, as the API server would fill them in. @throws where it would refuse. */
export const parseClickClusterSpec = (input: unknown): ClickClusterSpec => spec.parse(input);
