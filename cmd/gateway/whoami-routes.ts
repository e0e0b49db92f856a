/** What a key may do, for who holds it: a dashboard asks this to sign in. */
import type { FastifyPluginAsync } from "fastify";
import type { RequireScope } from "../../actors/adapters/http/auth.ts";
import { advertisersOf } from "../../actors/keys/api-key.ts";
import { keyProperties } from "./keys-routes.ts";
import { problemResponses } from "./schemas.ts";

export interface WhoamiDeps {
  readonly requireScope: RequireScope;
}

export function whoamiRoutes({ requireScope }: WhoamiDeps): FastifyPluginAsync {
  const { key_id, name, scopes, advertisers } = keyProperties;
  return async (app) => {
    app.get(
      "/v1/whoami",
      {
        onRequest: requireScope("read", "placement", "submit", "admin"),
        schema: {
          tags: ["keys"],
          summary: "Whose key this is, and what it may do.",
          description:
            'Without a key: 401, or, where reports are open to everybody, "anonymous" with an empty key_id.',
          security: [{ key: [] }],
          response: {
            200: {
              type: "object",
              required: ["key_id", "name", "scopes", "advertisers"],
              properties: { key_id, name, scopes, advertisers },
            },
            ...problemResponses(401, 429),
          },
        },
      },
      async ({ principal }, reply) => {
        reply.header("cache-control", "no-store");
        if (principal === null) return undefined;
        const seen = advertisersOf(principal);
        return {
          key_id: principal.keyId,
          name: principal.name,
          scopes: principal.scopes,
          advertisers: seen === "all" ? "all" : [...seen].map(String),
        };
      },
    );
  };
}
