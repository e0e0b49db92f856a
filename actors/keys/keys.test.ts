import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createMemoryKeyStore } from "../adapters/memory/memory-key-store.ts";
import { systemClock } from "../runtime/clock.ts";
import { digestOf, generateKey, isKeyText, keyRecord, permits, sees } from "./api-key.ts";
import { bearerOf, createAuthenticator } from "./authenticate.ts";
import type { KeyRecord } from "../ports/key-store.ts";
import { keyFromJson, keyToJson } from "./stored-key.ts";

describe("API keys", () => {
  test("a key is adk_ and 24 random bytes in base64url", () => {
    expect(generateKey(randomBytes)).toMatch(/^adk_[A-Za-z0-9_-]{32}$/);
    expect(generateKey((count) => Buffer.alloc(count, 0xff))).toBe(`adk_${"_".repeat(32)}`);
  });

  test("a record holds the digest and not the key", () => {
    const record = keyRecord("adk_secret", "ci", ["read"], 5);
    expect(record.digest).toEqual(digestOf("adk_secret"));
    expect(JSON.stringify(record)).not.toContain("adk_secret");
  });

  test("admin permits all, any other scope only itself", () => {
    const of = (...scopes: Parameters<typeof permits>[1][]) => ({
      keyId: "k",
      name: "n",
      scopes,
      advertisers: "all" as const,
    });
    expect(permits(of("admin"), "submit")).toBe(true);
    expect(permits(of("read"), "read")).toBe(true);
    expect(permits(of("read", "submit"), "placement")).toBe(false);
    expect(permits(of(), "read")).toBe(false);
  });

  test.each([
    ["secret", true],
    ["a".repeat(256), true],
    ["a".repeat(257), false],
    ["", false],
    ["a b", false],
    ["schlüssel", false],
    ["a\n", false],
  ])("%j as a key: %s", (text, taken) => expect(isKeyText(text)).toBe(taken));
});

describe("authenticate", () => {
  test("knows stored and given keys, and no others", async () => {
    const store = createMemoryKeyStore();
    const key = generateKey(randomBytes);
    await store.add(keyRecord(key, "ci", ["read"], 5));
    const { authenticate } = createAuthenticator({
      store,
      clock: systemClock,
      givenKeys: [{ key: "chosen", name: "admin", scopes: ["admin"] }],
    });

    expect(authenticate(key)).toMatchObject({ name: "ci", scopes: ["read"] });
    expect(authenticate(key)).toMatchObject({ name: "ci" });
    expect(authenticate("chosen")).toMatchObject({ name: "admin", scopes: ["admin"] });
    for (const wrong of [
      undefined,
      "",
      "chosen ",
      "Chosen",
      key + "A",
      key.slice(0, -1),
      "a".repeat(10_000),
    ]) {
      expect(authenticate(wrong)).toBeUndefined();
    }
    expect(store.list()).toHaveLength(1);
  });

  test("refuses a removed key once it is forgotten", async () => {
    const store = createMemoryKeyStore();
    const record = keyRecord("adk_x", "ci", ["read"], 5);
    await store.add(record);
    const { authenticate, forget } = createAuthenticator({ store, clock: systemClock });
    expect(authenticate("adk_x")).toBeDefined();
    expect(await store.remove(record.keyId)).toBe(true);
    forget(record.keyId);
    expect(authenticate("adk_x")).toBeUndefined();
  });

  test("never trusts the store's look-up alone", () => {
    const other = keyRecord("adk_other", "other", ["admin"], 5);
    const { authenticate } = createAuthenticator({
      store: { ...createMemoryKeyStore(), find: () => other },
      clock: systemClock,
    });
    expect(authenticate("adk_mine")).toBeUndefined();
    expect(authenticate("adk_other")).toBeDefined();
  });
});

describe("what a key may see, and until when", () => {
  const start = 1_790_000_000_000;

  test("H3 a key is refused from the moment it expires, also where it was remembered", async () => {
    const store = createMemoryKeyStore();
    const record = keyRecord("adk_x", "ci", ["read"], start, { expiresAtMs: start + 1_000 });
    await store.add(record);
    let nowMs = start + 999;
    const { authenticate, principalOf } = createAuthenticator({ store, clock: { now: () => nowMs } });
    expect(authenticate("adk_x")).toEqual(record);
    expect(principalOf(record.keyId)).toEqual(record);
    nowMs += 1;
    expect(authenticate("adk_x")).toBeUndefined();
    expect(principalOf(record.keyId)).toBeUndefined();
  });

  test("each use of a key that is taken is told, and of no other", async () => {
    const store = createMemoryKeyStore();
    const record = keyRecord("adk_x", "ci", ["read"], start);
    await store.add(record);
    const told: string[] = [];
    const { authenticate } = createAuthenticator({
      store,
      clock: { now: () => start },
      used: (keyId, nowMs) => told.push(`${keyId} ${nowMs}`),
    });
    authenticate("adk_x");
    authenticate("adk_y");
    expect(told).toEqual([`${record.keyId} ${start}`]);
  });

  test("B3 a key that names advertisers sees those, an admin's all", () => {
    const bounded = keyRecord("k", "n", ["read"], 0, { advertisers: new Set([7n]) });
    expect([sees(bounded, 7n), sees(bounded, 8n)]).toEqual([true, false]);
    expect(sees({ ...bounded, scopes: ["read", "admin"] }, 8n)).toBe(true);
    expect(sees(keyRecord("k", "n", ["read"], 0), 8n)).toBe(true);
  });
});

describe("a stored key", () => {
  const digest = digestOf("k");

  test("comes back as it was written", () => {
    const record: KeyRecord = {
      ...keyRecord("k", "Schlüssel", ["read"], 5, {
        advertisers: new Set([1n, 18_446_744_073_709_551_615n]),
        expiresAtMs: 9,
      }),
      lastUsedAtMs: 7,
    };
    expect(keyFromJson(digest, JSON.parse(JSON.stringify(keyToJson(record))))).toEqual(record);
  });

  test("of before, when read was called report and was of all advertisers, is one still", () => {
    const old = { keyId: "k", name: "n", scopes: ["report", "submit"], createdAtMs: 5 };
    expect(keyFromJson(digest, old)).toMatchObject({ scopes: ["read", "submit"], advertisers: "all" });
  });

  test.each([
    ["advertisers", { advertisers: "some" }],
    ["advertisers", { advertisers: ["01"] }],
    ["advertisers", { advertisers: [1] }],
    ["advertisers", { advertisers: null, scopes: "read" }],
    ["scopes", { scopes: ["root"] }],
    ["times", { expiresAtMs: "never" }],
  ])("whose %s are not understood permits nothing: %j", (_, change) => {
    const fields = { keyId: "k", name: "n", scopes: ["read"], createdAtMs: 5, ...change };
    expect(keyFromJson(digest, fields)).toMatch(/unknown|no numbers/);
  });
});

describe("bearerOf", () => {
  test.each([
    ["Bearer adk_x", "adk_x"],
    ["bearer  adk_x ", "adk_x"],
    ["BEARER adk_x", "adk_x"],
    ["Basic adk_x", undefined],
    ["Bearer", undefined],
    ["Bearer ", undefined],
    ["Bearer a b", undefined],
    ["adk_x", undefined],
    [`Bearer ${"a".repeat(600)}`, undefined],
    [undefined, undefined],
  ])("%j → %j", (header, key) => expect(bearerOf(header)).toBe(key));
});
