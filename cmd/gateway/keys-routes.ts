/** API keys over HTTP: create, list, revoke. Needs a key of scope "admin". */
import type { FastifyPluginAsync } from "fastify";
import type { RequireScope } from "../../actors/adapters/http/auth.ts";
import { HttpProblem } from "../../actors/adapters/http/problem.ts";
import { generateKey, keyRecord } from "../../actors/keys/api-key.ts";
import type { Authenticator } from "../../actors/keys/authenticate.ts";
import { SCOPES, type KeyRecord, type KeyStore, type Scope } from "../../actors/ports/key-store.ts";
import type { Clock, RandomBytes } from "../../actors/runtime/clock.ts";
import { problemResponses, text } from "./schemas.ts";

export interface KeysDeps {
  readonly keys: KeyStore;
  readonly authenticator: Authenticator;
  readonly requireScope: RequireScope;
  readonly clock: Clock;
  readonly random: RandomBytes;
}

const keyProperties = {
  key_id: text("Names the key in lists and logs; not a secret."),
  name: text("For people."),
  scopes: { type: "array", items: { type: "string", enum: SCOPES } },
  created_at: { ...text("When it was created."), format: "date-time" },
} as const;
const keySchema = { type: "object", properties: keyProperties } as const;

const toJson = ({ keyId, name, scopes, createdAtMs }: KeyRecord) => ({
  key_id: keyId,
  name,
  scopes,
  created_at: new Date(createdAtMs).toISOString(),
});

export function keysRoutes(deps: KeysDeps): FastifyPluginAsync {
  const { authenticator, clock, keys, random } = deps;
  const onRequest = deps.requireScope("admin");
  const shared = { tags: ["keys"], security: [{ key: [] }] };

  return async (app) => {
    app.post<{ Body: { name: string; scopes: Scope[] } }>(
      "/v1/keys",
      {
        onRequest,
        schema: {
          ...shared,
          summary: "Create a key. Its text is in this answer alone: only its digest is kept.",
          body: {
            type: "object",
            required: ["name", "scopes"],
            additionalProperties: false,
            properties: {
              name: { ...keyProperties.name, minLength: 1, maxLength: 100 },
              scopes: { ...keyProperties.scopes, minItems: 1, uniqueItems: true },
            },
          },
          response: {
            201: { type: "object", properties: { ...keyProperties, key: text("What to send as Bearer.") } },
            ...problemResponses(400, 401, 403),
          },
        },
      },
      async (request, reply) => {
        const key = generateKey(random);
        const record = keyRecord(key, request.body.name, request.body.scopes, clock.now());
        await keys.add(record);
        return reply
          .code(201)
          .header("cache-control", "no-store")
          .send({ ...toJson(record), key });
      },
    );

    app.get(
      "/v1/keys",
      {
        onRequest,
        schema: {
          ...shared,
          summary: "The keys that may call, without their texts.",
          response: {
            200: { type: "object", properties: { keys: { type: "array", items: keySchema } } },
            ...problemResponses(401, 403),
          },
        },
      },
      async () => ({ keys: keys.list().map(toJson) }),
    );

    app.delete<{ Params: { key_id: string } }>(
      "/v1/keys/:key_id",
      {
        onRequest,
        schema: {
          ...shared,
          summary: "Revoke a key, at once.",
          params: { type: "object", required: ["key_id"], properties: { key_id: keyProperties.key_id } },
          response: { 204: { type: "null" }, ...problemResponses(401, 403, 404) },
        },
      },
      async (request, reply) => {
        const { key_id: keyId } = request.params;
        if (!(await keys.remove(keyId))) {
          throw new HttpProblem(404, "NOT_FOUND", `there is no key ${keyId}: see GET /v1/keys`);
        }
        authenticator.forget(keyId);
        return reply.code(204).send();
      },
    );
  };
}
