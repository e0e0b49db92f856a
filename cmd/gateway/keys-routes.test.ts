import { expect, test } from "vitest";
import { createApi } from "../../actors/adapters/http/api.ts";
import { createMemoryKeyStore } from "../../actors/adapters/memory/memory-key-store.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { createAuthenticator } from "../../actors/keys/authenticate.ts";
import { systemClock, systemRandom } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import { keysRoutes } from "./keys-routes.ts";

async function keysApi() {
  const keys = createMemoryKeyStore();
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
