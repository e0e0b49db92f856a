/**
 * One source for the types of the custom resources and for the schemas by which the API server
 * checks them: zod schemas, and how they become structural OpenAPI schemas.
 *
 *  S1 What is written here is what the API server holds: same bounds, defaults and rules. A default
 *     of an object is written out whole, so that rules over it never meet a field that is not there.
 *  S2 Every field has a description.
 */
import { z } from "zod";

/** A CEL rule on the object that carries it (x-kubernetes-validations). */
export interface Rule {
  readonly rule: string;
  readonly message: string;
  /** CEL for a message that names values. */
  readonly messageExpression?: string;
}

export const whole = (min: number, max: number) =>
  z
    .number()
    .int()
    .min(min)
    .max(max)
    .meta({ format: max > 0x7fff_ffff ? "int64" : "int32" });
export const percent = (min = 1, max = 100) => whole(min, max);
/** Every text is bounded: the API server prices CEL rules by how long a value can be. */
export const text = (maxLength: number, pattern?: RegExp) => {
  const schema = z.string().min(1).max(maxLength);
  return pattern === undefined ? schema : schema.regex(pattern);
};
export const dnsName = text(253, /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);
export const time = z.string().meta({ format: "date-time" });
const quantity = z
  .union([z.number().int(), z.string()])
  .meta({
    "x-kubernetes-int-or-string": true,
    pattern: String.raw`^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$`,
  })
  .describe("A quantity such as 500m or 1Gi.");
export const storageSize = quantity;
const quantities = z.record(z.string(), quantity);
export const resources = z
  .object({
    requests: quantities.optional().describe("What is set aside for each pod."),
    limits: quantities.optional().describe("What each pod may use at the most."),
  })
  .optional()
  .describe("CPU and memory of each pod, as in core/v1 ResourceRequirements.");

export const ruled = <T extends z.ZodType>(schema: T, ...rules: readonly Rule[]): T =>
  schema.meta({ ...schema.meta(), "x-kubernetes-validations": rules });

/** A list whose items are told apart by some of their fields: server-side apply merges by them. */
export const listByKeys = <T extends z.ZodType>(item: T, keys: readonly string[], max: number) =>
  z.array(item).max(max).meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys });

export interface Structural {
  readonly [keyword: string]: unknown;
  readonly properties?: Readonly<Record<string, Structural>>;
  readonly additionalProperties?: Structural;
  readonly items?: Structural;
}

/** The structural schema of what users write: defaults are the API server's to fill in. */
export function structural(schema: z.ZodType): Structural {
  return z.toJSONSchema(schema, {
    io: "input",
    target: "openapi-3.0",
    override: ({ jsonSchema, zodSchema }) => {
      const { type } = zodSchema._zod.def;
      if (type === "prefault")
        jsonSchema.default = z.parse(zodSchema, undefined) as typeof jsonSchema.default;
      if (jsonSchema["x-kubernetes-int-or-string"] === true) {
        jsonSchema.anyOf = [{ type: "integer" }, { type: "string" }];
      }
    },
  }) as Structural;
}
