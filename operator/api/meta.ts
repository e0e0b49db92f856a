/** What every object of Kubernetes has, as far as the operator looks at it, and metav1.Condition. */
import { z } from "zod";
import { listByKeys, text, time, whole } from "./schema.ts";

export const GROUP = "adtally.dev";
export const VERSION = "v1alpha1";
export const FINALIZER = "adtally.dev/drain";

export interface ObjectMeta {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** Rises with each change of the spec. */
  readonly generation: number;
  readonly creationTimestamp: string;
  /** Set once somebody has deleted it, and finalizers hold it. */
  readonly deletionTimestamp?: string | undefined;
  readonly finalizers?: readonly string[] | undefined;
}

const condition = z.object({
  type: text(316).describe("What the condition says; one of each type."),
  status: z
    .enum(["True", "False", "Unknown"])
    .describe("Whether it holds; Unknown where it could not be observed."),
  observedGeneration: whole(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe("Generation of the spec of which the condition speaks."),
  lastTransitionTime: time.describe("When the status last changed."),
  reason: text(1_024, /^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/).describe("Why, in one word for programs."),
  message: z.string().max(32_768).describe("Why, for people."),
});
export type Condition = z.output<typeof condition>;

export const conditions = listByKeys(condition.describe("One condition."), ["type"], 16)
  .optional()
  .describe("Conditions, as metav1.Condition.");
