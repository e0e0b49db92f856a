import { expect, test } from "vitest";
import { createApi, type ApiDeps } from "../../actors/adapters/http/api.ts";
import { createMemoryKeyedLog } from "../../actors/adapters/memory/memory-keyed-log.ts";
import { createKeyLimits } from "../../actors/adapters/rate-limit/key-limits.ts";
import type { AuditEvent } from "../../actors/keys/audit.ts";
import { createReplicatedKeys } from "../../actors/keys/replicated.ts";
import type { KeyStore } from "../../actors/ports/key-store.ts";
import { createMemoryKeyStore } from "../../actors/adapters/memory/memory-key-store.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { createAuthenticator } from "../../actors/keys/authenticate.ts";
import { systemClock, systemRandom } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import { keysRoutes } from "./keys-routes.ts";

async function keysApi(
  keys: KeyStore = createMemoryKeyStore(),
  deps: Partial<Pick<ApiDeps, "keyLimits" | "audit">> = {},
) {
  const authenticator = createAuthenticator({
    store: keys,
    clock: systemClock,
    givenKeys: [{ name: "admin", key: "the-admin-key", scopes: ["admin"] }],
  });
  const { app, requireScope } = createApi({
    limits: DEFAULT_LIMITS,
    logger: silentLogger,
    metrics: createMetrics({ process: false }),
    version: "0",
    authenticate: authenticator.authenticate,
    readiness: () => [],
    ...deps,
  });
  app.register(
    keysRoutes({
      keys,
      authenticator,
      requireScope,
      clock: systemClock,
      random: systemRandom,
      limits: DEFAULT_LIMITS,
    }),
  );
  await app.ready();
  const call = (method: "GET" | "POST" | "DELETE", url: string, key: string, payload?: object) =>
    app.inject({ method, url, headers: { authorization: `Bearer ${key}` }, ...(payload && { payload }) });
  return { keys, authenticator, call };
}

test("a created key works by its scopes, is kept as a digest alone, and is refused once revoked", async () => {
  const { keys, authenticator, call } = await keysApi();
  const created = await call("POST", "/v1/keys", "the-admin-key", { name: "sdk", scopes: ["submit"] });
  expect(created.statusCode).toBe(201);
  const { key, key_id: keyId } = created.json<{ key: string; key_id: string }>();
  expect(authenticator.authenticate(key)?.scopes).toEqual(["submit"]);
  expect(JSON.stringify(keys.list())).not.toContain(key);
  expect((await call("GET", "/v1/keys", key)).statusCode).toBe(403);
  expect((await call("GET", "/v1/keys", "the-admin-key")).json()).toMatchObject({
    keys: [{ key_id: keyId }],
  });
  expect((await call("DELETE", `/v1/keys/${keyId}`, "the-admin-key")).statusCode).toBe(204);
  expect(authenticator.authenticate(key)).toBeUndefined();
  expect((await call("DELETE", `/v1/keys/${keyId}`, "the-admin-key")).statusCode).toBe(404);
});

test("an unknown scope, no scope and no name are refused by name", async () => {
  const { call } = await keysApi();
  for (const payload of [
    { name: "x", scopes: ["root"] },
    { name: "x", scopes: [] },
    { name: "", scopes: ["submit"] },
    { scopes: ["submit"] },
  ]) {
    const refused = await call("POST", "/v1/keys", "the-admin-key", payload);
    expect(refused.statusCode).toBe(400);
    expect(refused.headers["content-type"]).toMatch(/^application\/problem\+json/);
  }
});

test("a key is bounded to its advertisers and its time, and shown so; when it was used is shown", async () => {
  const { keys, call } = await keysApi();
  const expires = "2100-01-01T00:00:00.000Z";
  const terms = { name: "a", scopes: ["read"], advertisers: ["7", "8"], expires_at: expires };
  const created = await call("POST", "/v1/keys", "the-admin-key", terms);
  expect(created.json()).toMatchObject({ ...terms, last_used_at: null });
  const [record] = keys.list();
  expect(record).toMatchObject({ advertisers: new Set([7n, 8n]), expiresAtMs: Date.parse(expires) });
  await keys.noteUses(new Map([[record!.keyId, 1_790_000_000_000]]));
  expect((await call("GET", "/v1/keys", "the-admin-key")).json()).toMatchObject({
    keys: [{ ...terms, last_used_at: new Date(1_790_000_000_000).toISOString() }],
  });
});

test.each([
  ["advertisers", { scopes: ["read"] }],
  ["advertisers", { scopes: ["read"], advertisers: [] }],
  ["advertisers", { scopes: ["read"], advertisers: "1' OR '1'='1" }],
  ["advertisers", { scopes: ["read"], advertisers: ["1 OR 1=1"] }],
  ["advertisers", { scopes: ["read"], advertisers: [7] }],
  ["advertisers", { scopes: ["read", "submit"], advertisers: ["7"] }],
  ["advertisers", { scopes: ["admin"], advertisers: ["7"] }],
  ["expires_at", { scopes: ["submit"], expires_at: "tomorrow" }],
  ["expires_at", { scopes: ["submit"], expires_at: "2020-01-01T00:00:00Z" }],
])("%s is refused by name: %j", async (field, terms) => {
  const { keys, call } = await keysApi();
  const refused = await call("POST", "/v1/keys", "the-admin-key", { name: "x", ...terms });
  expect(refused.statusCode).toBe(400);
  expect(refused.json<{ detail: string }>().detail).toContain(field);
  expect(keys.list()).toEqual([]);
});

test("a key revoked at one gateway is refused at another well within a minute, remembered there or not", async () => {
  const log = createMemoryKeyedLog();
  const gateway = async () => {
    const store = createReplicatedKeys({
      log,
      onRemoved: (keyId) => api.authenticator.forget(keyId),
      limits: DEFAULT_LIMITS,
      clock: systemClock,
      logger: silentLogger,
    });
    const api = await keysApi(store);
    await store.replica.ready();
    return { ...api, stop: () => store.replica.stop() };
  };
  const [a, b] = [await gateway(), await gateway()];
  const terms = { name: "x", scopes: ["admin"] };
  const { key, key_id: keyId } = (await a.call("POST", "/v1/keys", "the-admin-key", terms)).json<{
    key: string;
    key_id: string;
  }>();
  const statusAt = async (at: typeof a) => (await at.call("GET", "/v1/keys", key)).statusCode;
  await expect.poll(() => statusAt(b)).toBe(200);
  expect((await a.call("DELETE", `/v1/keys/${keyId}`, "the-admin-key")).statusCode).toBe(204);
  expect(await statusAt(a)).toBe(401);
  await expect.poll(() => statusAt(b), { timeout: 59_000 }).toBe(401);
  await a.stop();
  await b.stop();
}, 65_000);

test("a key past its allowance is told 429 as a problem document, and when to come back", async () => {
  const limits = { ...DEFAULT_LIMITS, keyAdminCallsPerWindow: 2 };
  const { call } = await keysApi(undefined, { keyLimits: createKeyLimits(limits) });
  for (const status of [200, 200, 429])
    expect((await call("GET", "/v1/keys", "the-admin-key")).statusCode).toBe(status);
  const refused = await call("GET", "/v1/keys", "the-admin-key");
  expect(refused.headers["content-type"]).toMatch(/^application\/problem\+json/);
  expect(refused.json()).toMatchObject({ status: 429, code: "RATE_LIMITED" });
  expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
});

test("E2 changes and refusals are told to the audit log, reading is not, a key's text never", async () => {
  const events: AuditEvent[] = [];
  const { call } = await keysApi(undefined, { audit: { note: (event) => void events.push(event) } });
  const made = await call("POST", "/v1/keys", "the-admin-key", { name: "sdk", scopes: ["submit"] });
  const { key, key_id: keyId } = made.json<{ key: string; key_id: string }>();
  await call("GET", "/v1/keys", "the-admin-key");
  await call("GET", "/v1/keys?x=secret", key);
  await call("DELETE", "/v1/keys/000000000000", "the-admin-key");
  await call("GET", "/v1/keys", "no-such-key");
  expect(
    events.map(({ keyName, method, route, path, status, outcome }) => [
      keyName,
      method,
      route,
      path,
      status,
      outcome,
    ]),
  ).toEqual([
    ["admin", "POST", "/v1/keys", "/v1/keys", 201, "done"],
    ["sdk", "GET", "/v1/keys", "/v1/keys", 403, "refused"],
    ["admin", "DELETE", "/v1/keys/:key_id", "/v1/keys/000000000000", 404, "failed"],
    [undefined, "GET", "/v1/keys", "/v1/keys", 401, "refused"],
  ]);
  expect(events[1]!.keyId).toBe(keyId);
  for (const secret of [key, "no-such-key", "the-admin-key", "secret"])
    expect(JSON.stringify(events)).not.toContain(secret);
});
