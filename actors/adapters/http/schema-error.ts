/**
 * What a JSON schema found wrong with a request, in words: the field as the caller wrote it, and
 * what it should have been. A validator's own words name types and patterns of ours.
 */
import type { FastifyError } from "fastify";
import type { FieldError } from "../../catalogue/ad.ts";

type SchemaError = NonNullable<FastifyError["validation"]>[number];

const NOUNS: Readonly<Record<string, string>> = {
  array: "a list",
  boolean: "true or false",
  integer: "a whole number",
  number: "a number",
  object: "an object",
  string: "a text in quotes",
};

const things = (count: unknown, one: string) => `${String(count)} ${one}${count === 1 ? "" : "s"}`;

/** `context`: what was checked: body, querystring, params. */
export function schemaError(error: SchemaError, context: string | undefined): FieldError {
  const path = error.instancePath.slice(1).replaceAll("/", ".");
  const within = (name: unknown) => (path === "" ? String(name) : `${path}.${String(name)}`);
  const { params } = error;
  switch (error.keyword) {
    case "required":
      return { field: within(params["missingProperty"]), reason: "is missing" };
    case "additionalProperties":
      return { field: within(params["additionalProperty"]), reason: "is not a field of this request" };
  }
  const field = path === "" ? (context ?? "") : path;
  return { field, reason: reasonOf(error, path === "", context) };
}

function reasonOf({ keyword, params, message }: SchemaError, isWhole: boolean, context?: string): string {
  const { limit } = params;
  switch (keyword) {
    case "type":
      if (isWhole) return "must be a JSON object";
      if (context === "querystring") return "stands in the URL more than once: give it once";
      return `must be ${NOUNS[String(params["type"])] ?? String(params["type"])}`;
    case "enum":
      return `must be one of ${[params["allowedValues"]].flat().join(", ")}`;
    case "minimum":
      return `must be ${String(limit)} or more`;
    case "maximum":
      return `must be ${String(limit)} or less`;
    case "minLength":
      return `must have at least ${things(limit, "character")}`;
    case "maxLength":
      return `must have at most ${things(limit, "character")}`;
    case "minItems":
      return `must have at least ${things(limit, "entry").replace("entrys", "entries")}`;
    case "maxItems":
      return `must have at most ${things(limit, "entry").replace("entrys", "entries")}`;
    case "uniqueItems":
      return `names the same thing twice (entries ${Number(params["j"]) + 1} and ${Number(params["i"]) + 1})`;
    default:
      return message ?? "is not valid";
  }
}
