import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { createApi } from "./api.ts";

function openApp() {
  const { app } = createApi({
    limits: DEFAULT_LIMITS,
    logger: silentLogger,
    metrics: createMetrics({ process: false }),
    authenticate: () => undefined,
    readiness: () => [],
    version: "0",
  });
  const body = {
    type: "object",
    required: ["name"],
    additionalProperties: false,
    properties: {
      name: { type: "string", minLength: 1, maxLength: 3 },
      count: { type: "integer", minimum: 1, maximum: 9 },
      scopes: { type: "array", minItems: 1, maxItems: 2, uniqueItems: true, items: { enum: ["a", "b"] } },
      open: { type: "boolean" },
      nested: { type: "object" },
    },
  };
  const querystring = { type: "object", properties: { ad_id: { type: "string" } } };
  app.post("/x", { schema: { body, querystring } }, async () => ({}));
  return app;
}

const good = { name: "n" };
test.each<[unknown, string, string?]>([
  [[], "body must be a JSON object"],
  [{}, "name is missing"],
  [{ ...good, colour: 1 }, "colour is not a field of this request"],
  [{ name: 7 }, "name must be a text in quotes"],
  [{ name: "" }, "name must have at least 1 character"],
  [{ name: "long" }, "name must have at most 3 characters"],
  [{ ...good, count: "3" }, "count must be a whole number"],
  [{ ...good, count: 0 }, "count must be 1 or more"],
  [{ ...good, count: 10 }, "count must be 9 or less"],
  [{ ...good, open: "yes" }, "open must be true or false"],
  [{ ...good, nested: 1 }, "nested must be an object"],
  [{ ...good, scopes: "a" }, "scopes must be a list"],
  [{ ...good, scopes: [] }, "scopes must have at least 1 entry"],
  [{ ...good, scopes: ["a", "b", "a"] }, "scopes must have at most 2 entries"],
  [{ ...good, scopes: ["a", "a"] }, "scopes names the same thing twice (entries 1 and 2)"],
  [{ ...good, scopes: ["a", "z"] }, "scopes.1 must be one of a, b"],
  [good, "ad_id stands in the URL more than once: give it once", "?ad_id=1&ad_id=2"],
])("a refusal of %j said what a validator says, says: %s", async (payload, said, query = "") => {
  const response = await openApp().inject({
    method: "POST",
    url: `/x${query}`,
    headers: { "content-type": "application/json" },
    payload: JSON.stringify(payload),
  });
  expect(response.statusCode).toBe(400);
  expect(response.json<{ detail: string }>().detail).toBe(said);
});
