/** The CEL rules of a generated schema, evaluated on an object as the API server would. */
import { evaluate } from "@marcbachmann/cel-js";
import type { Rule, Structural } from "./schema.ts";

type Plain = Readonly<Record<string, unknown>>;

/** CEL tells whole numbers from others: as the schema says. */
function celValue(schema: Structural, value: unknown): unknown {
  if (value === undefined || value === null) return value;
  if (schema["type"] === "integer") return BigInt(value as number);
  if (Array.isArray(value)) return value.map((each) => celValue(schema.items ?? {}, each));
  if (typeof value !== "object") return value;
  const entries = Object.entries(value as Plain).filter(([, each]) => each !== undefined);
  return Object.fromEntries(
    entries.map(([name, each]) => [
      name,
      celValue(schema.properties?.[name] ?? schema.additionalProperties ?? {}, each),
    ]),
  );
}

/** Messages of the rules that `value` breaks; those that look at `oldSelf` only where there is one. */
export function brokenRules(schema: Structural, value: unknown, old?: unknown): readonly string[] {
  if (value === undefined) return [];
  const rules = (schema["x-kubernetes-validations"] ?? []) as readonly Rule[];
  const own = rules
    .filter(({ rule }) => old !== undefined || !rule.includes("oldSelf"))
    .filter(({ rule }) => {
      const scope = { self: celValue(schema, value), oldSelf: celValue(schema, old) };
      return evaluate(rule, scope as Record<string, unknown>) !== true;
    })
    .map(({ message }) => message);
  const below = Object.entries(schema.properties ?? {}).flatMap(([name, each]) =>
    brokenRules(each, (value as Plain)[name], (old as Plain | undefined)?.[name]),
  );
  return [...own, ...below];
}
