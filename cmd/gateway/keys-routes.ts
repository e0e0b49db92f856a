/** API keys over HTTP: create, list, revoke. Needs a key of scope "admin". */
import type { FastifyPluginAsync } from "fastify";
import type { RequireScope } from "../../actors/adapters/http/auth.ts";
import { HttpProblem, invalidInput } from "../../actors/adapters/http/problem.ts";
import type { FieldError } from "../../actors/catalogue/ad.ts";
import type { Limits } from "../../actors/core/limits.ts";
import { advertisersOf, generateKey, isKeyId, keyRecord, type KeyTerms } from "../../actors/keys/api-key.ts";
import type { Authenticator } from "../../actors/keys/authenticate.ts";
import { readAdvertisers } from "../../actors/keys/stored-key.ts";
import { SCOPES, type KeyRecord, type KeyStore, type Scope } from "../../actors/ports/key-store.ts";
import type { Clock, RandomBytes } from "../../actors/runtime/clock.ts";
import { parseRfc3339 } from "../../actors/reports/rfc3339.ts";
import { problemResponses, text } from "./schemas.ts";

export interface KeysDeps {
  readonly keys: KeyStore;
  readonly authenticator: Authenticator;
  readonly requireScope: RequireScope;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly limits: Pick<Limits, "keyMaxAdvertisers">;
}

export const keyProperties = {
  key_id: text("Names the key in lists and logs; not a secret."),
  name: text("For people."),
  scopes: { type: "array", items: { type: "string", enum: SCOPES } },
  advertisers: {
    description:
      'Whose ads, counts and clicks the key may see: a list of advertisers\' ids, or "all". To any other ' +
      "ad's id it gets the answer of one that does not exist.",
    anyOf: [
      { type: "string", enum: ["all"] },
      { type: "array", items: { type: "string" } },
    ],
  },
  created_at: { ...text("When it was created."), format: "date-time" },
  expires_at: { ...text("From then on it is refused; null: never."), format: "date-time", nullable: true },
  last_used_at: {
    ...text("When it was last presented, to a minute or two; null: not yet."),
    format: "date-time",
    nullable: true,
  },
} as const;
const keySchema = { type: "object", properties: keyProperties } as const;

const timeOf = (ms: number | undefined) => (ms === undefined ? null : new Date(ms).toISOString());

function toJson(record: KeyRecord) {
  const seen = advertisersOf(record);
  return {
    key_id: record.keyId,
    name: record.name,
    scopes: record.scopes,
    advertisers: seen === "all" ? "all" : [...seen].map(String),
    created_at: timeOf(record.createdAtMs),
    expires_at: timeOf(record.expiresAtMs),
    last_used_at: timeOf(record.lastUsedAtMs),
  };
}

interface NewKey {
  readonly name: string;
  readonly scopes: Scope[];
  readonly advertisers?: unknown;
  readonly expires_at?: string;
}

/** @throws INPUT_INVALID, naming all fields at fault */
function readTerms(body: NewKey, nowMs: number, { keyMaxAdvertisers }: KeysDeps["limits"]): KeyTerms {
  const faults: FieldError[] = [];
  const refuse = (field: string, reason: string): undefined => void faults.push({ field, reason });
  const advertisers =
    body.advertisers === undefined
      ? undefined
      : (readAdvertisers(body.advertisers) ??
        refuse("advertisers", 'must be "all" or a list of ids, each an unsigned 64-bit decimal in quotes'));
  if (body.advertisers === undefined && body.scopes.includes("read"))
    refuse("advertisers", 'is missing: a key of scope "read" names whose it may see, or says "all"');
  if (advertisers !== undefined && advertisers !== "all") {
    if (advertisers.size === 0 || advertisers.size > keyMaxAdvertisers)
      refuse("advertisers", `must name from 1 to ${keyMaxAdvertisers}`);
    const beyond = body.scopes.find((scope) => scope === "admin" || scope === "submit");
    if (beyond !== undefined)
      refuse("advertisers", `cannot bound a key of scope "${beyond}", which is for all ads: make two keys`);
  }
  const expiresAtMs = body.expires_at === undefined ? undefined : parseRfc3339(body.expires_at);
  if (body.expires_at !== undefined && (expiresAtMs === undefined || expiresAtMs <= nowMs))
    refuse("expires_at", "must be an RFC 3339 time to come, such as 2027-01-31T12:00:00Z");
  if (faults.length > 0) throw invalidInput(faults);
  return { ...(advertisers !== undefined && { advertisers }), expiresAtMs };
}

export function keysRoutes(deps: KeysDeps): FastifyPluginAsync {
  const { authenticator, clock, keys, random } = deps;
  const onRequest = deps.requireScope("admin");
  const shared = { tags: ["keys"], security: [{ key: [] }] };

  return async (app) => {
    app.post<{ Body: NewKey }>(
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
              // Checked by readTerms: a validator's words about anyOf help nobody.
              advertisers: { description: keyProperties.advertisers.description },
              expires_at: { type: "string", description: "RFC 3339; without it the key does not expire." },
            },
          },
          response: {
            201: { type: "object", properties: { ...keyProperties, key: text("What to send as Bearer.") } },
            ...problemResponses(400, 401, 403, 429),
          },
        },
      },
      async (request, reply) => {
        const key = generateKey(random);
        const { name, scopes } = request.body;
        const nowMs = clock.now();
        const record = keyRecord(key, name, scopes, nowMs, readTerms(request.body, nowMs, deps.limits));
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
            ...problemResponses(401, 403, 429),
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
          summary: "Revoke a key: here at once, at the other programs of a cluster within seconds.",
          params: { type: "object", required: ["key_id"], properties: { key_id: keyProperties.key_id } },
          response: { 204: { type: "null" }, ...problemResponses(400, 401, 403, 404, 429) },
        },
      },
      async (request, reply) => {
        const { key_id: keyId } = request.params;
        if (!isKeyId(keyId))
          throw invalidInput([
            { field: "key_id", reason: "must be the 12 hexadecimal digits of a key's id" },
          ]);
        if (!(await keys.remove(keyId))) {
          throw new HttpProblem(404, "NOT_FOUND", `there is no key ${keyId}: see GET /v1/keys`);
        }
        authenticator.forget(keyId);
        return reply.code(204).send();
      },
    );
  };
}
