/** Pieces of JSON schema that the routes share. */
import { STATUS_CODES } from "node:http";
import { PROBLEM_TYPE } from "../../actors/adapters/http/problem.ts";

export const text = (description: string) => ({ type: "string", description }) as const;

export const idSchema = (description: string) =>
  ({
    type: "string",
    description: `${description} An unsigned 64-bit number in decimal.`,
    examples: ["1001"],
  }) as const;

/** Offsets are 64-bit wherever they stand, so they are strings, as ids are. */
export const offsetSchema = {
  type: "string",
  description: "The block's offset in the shard's partition of the click log: 64-bit, in decimal.",
  examples: ["17"],
} as const;

const problemSchema = {
  type: "object",
  description: "RFC 9457.",
  required: ["type", "title", "status", "code", "detail"],
  properties: {
    type: text("about:blank"),
    title: text("The status in words."),
    status: { type: "integer" },
    code: text("Stable, for programs."),
    detail: text("What was wrong, and what to do."),
    errors: {
      type: "array",
      description: "The fields at fault.",
      items: {
        type: "object",
        properties: { field: text("Its name."), reason: text("What is wrong with it.") },
      },
    },
  },
} as const;

/** The refusals of a route, for its `schema.response`. */
export function problemResponses(...statuses: readonly number[]): Readonly<Record<number, object>> {
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: STATUS_CODES[status], content: { [PROBLEM_TYPE]: { schema: problemSchema } } },
    ]),
  );
}
