import { expect, test } from "vitest";
import { apiPage } from "./api-page.ts";

test("the page names every route, its parameters, its fields and its refusals, and nothing of them is markup", () => {
  const page = apiPage({
    info: { title: "adtally", version: "1", description: "a < b" },
    paths: {
      "/v1/reports": {
        get: {
          tags: ["reports"],
          summary: '"<script>"',
          parameters: [{ name: "ad_id", in: "query", schema: { type: "string" }, description: "The ad." }],
          responses: {
            200: {
              content: {
                "application/json": {
                  schema: {
                    type: "object",
                    properties: {
                      rows: { type: "array", items: { properties: { clicks: { type: "integer" } } } },
                    },
                  },
                },
              },
            },
            404: {},
          },
        },
      },
    },
  });
  for (const part of [
    "GET /v1/reports",
    "<code>ad_id</code>",
    "The ad.",
    "<code>rows[].clicks</code>",
    "Refusals: 404",
  ])
    expect(page).toContain(part);
  expect(page).not.toContain("<script");
  expect(page).toContain("a &lt; b");
});
