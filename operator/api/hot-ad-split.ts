/**
 * HotAdSplit: one ad that is counted by several shards. The operator makes one for each ad that gets
 * hot and removes it when the ad is cold again; one that a person made is obeyed as it is.
 *
 * The objects are what is wanted: an ad without one is not split. What the shards do is the routing
 * table's to say, and stands in the status.
 */
import { z } from "zod";
import type { ObjectMeta } from "./meta.ts";
import { dnsName, ruled, text, time, whole } from "./schema.ts";

const spec = ruled(
  z.object({
    clusterName: dnsName.describe("ClickCluster in the same namespace that counts the ad."),
    adId: text(20, /^(0|[1-9][0-9]{0,19})$/).describe("The ad: unsigned 64-bit, decimal."),
    ways: whole(1, 4_096).describe(
      "Over how many shards the ad's clicks are spread; never more than the cluster has. 1 keeps the ad whole, however hot.",
    ),
    origin: z
      .enum(["Hand", "Policy"])
      .default("Hand")
      .describe("Who made it. The operator changes and removes what its policy made, and nothing else."),
  }),
  {
    rule: "self.adId == oldSelf.adId && self.clusterName == oldSelf.clusterName",
    message: "adId and clusterName cannot be changed: delete this one and make another",
  },
  {
    rule: "size(self.adId) < 20 || self.adId <= '18446744073709551615'",
    message: "adId is above 18446744073709551615, the highest 64-bit number",
  },
);

const status = z.object({
  observedGeneration: whole(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe("Generation of the spec that this speaks of."),
  state: z
    .enum(["Pending", "Active", "Refused"])
    .optional()
    .describe(
      "Pending until a routing generation with it has taken force; Refused if another object speaks for the ad.",
    ),
  ways: whole(1, 4_096).optional().describe("Over how many shards impressions made now are spread."),
  generation: whole(0, 65_535)
    .optional()
    .describe("Routing generation that the newest state of the ad stands in."),
  since: time.optional().describe("When that generation takes force."),
  clicksPerSecond: whole(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe("The ad's clicks a second, to two digits."),
  coldSince: time.optional().describe("Since when fewer ways would do; it is merged once that has lasted."),
  message: z.string().max(1_024).optional().describe("What is in the way, for people."),
});

export const hotAdSplit = z.object({
  spec: spec.describe("What is wanted of the ad."),
  status: status.optional().describe("What has become of it."),
});

export type HotAdSplitSpec = z.output<typeof spec>;
export type HotAdSplitStatus = z.output<typeof status>;
export interface HotAdSplit {
  readonly metadata: ObjectMeta;
  readonly spec: HotAdSplitSpec;
  readonly status?: HotAdSplitStatus | undefined;
}
