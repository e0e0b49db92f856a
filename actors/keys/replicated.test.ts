import { afterEach, describe, expect, test } from "vitest";
import { createMemoryKeyedLog, type MemoryKeyedLog } from "../adapters/memory/memory-keyed-log.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { keyed } from "../ports/keyed-log.conformance.ts";
import { seal } from "../replica/seal.ts";
import { systemClock } from "../runtime/clock.ts";
import { silentLogger } from "../runtime/log.ts";
import { digestOf, keyRecord } from "./api-key.ts";
import { createAuthenticator } from "./authenticate.ts";
import { decodeChange, recordOf } from "./key-records.ts";
import { createReplicatedKeys } from "./replicated.ts";

const limits = {
  ...DEFAULT_LIMITS,
  replicaFollowIntervalMs: 10,
  reconnectMaxMs: 30,
  catalogueDeadlineMs: 500,
};
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function gateway(log: MemoryKeyedLog) {
  const keys = createReplicatedKeys({
    log,
    onRemoved: (keyId) => authenticator.forget(keyId),
    limits,
    clock: systemClock,
    logger: silentLogger,
  });
  const authenticator = createAuthenticator({ store: keys, clock: systemClock });
  closers.push(() => keys.replica.stop());
  await keys.replica.ready();
  return { keys, authenticate: authenticator.authenticate };
}

describe("API keys of a cluster", () => {
  test("Y1, Z1 a key made at one gateway is taken there at once, and soon at the others", async () => {
    const log = createMemoryKeyedLog();
    const [a, b] = [await gateway(log), await gateway(log)];
    const record = keyRecord("adk_x", "ci", ["read"], 5);
    await a.keys.add(record);
    expect(a.authenticate("adk_x")).toEqual(record);
    await expect.poll(() => b.authenticate("adk_x")).toEqual(record);
    expect(b.keys.list()).toEqual([record]);
    expect(b.authenticate("adk_y")).toBeUndefined();
  });

  test("Z2 a key removed at one gateway is refused at the others, also where it was remembered", async () => {
    const log = createMemoryKeyedLog();
    const [a, b] = [await gateway(log), await gateway(log)];
    const record = keyRecord("adk_x", "ci", ["read"], 5);
    await a.keys.add(record);
    await expect.poll(() => b.authenticate("adk_x")).toBeDefined();
    expect(await a.keys.remove(record.keyId)).toBe(true);
    expect(a.authenticate("adk_x")).toBeUndefined();
    await expect.poll(() => b.authenticate("adk_x")).toBeUndefined();
    expect(await b.keys.remove(record.keyId)).toBe(false);
    expect(b.keys.list()).toEqual([]);
  });

  test("Z1 a key that another gateway has just made can be removed at once", async () => {
    const log = createMemoryKeyedLog();
    const [a, b] = [await gateway(log), await gateway(log)];
    const record = keyRecord("adk_x", "ci", ["read"], 5);
    await a.keys.add(record);
    expect(await b.keys.remove(record.keyId)).toBe(true);
    expect(b.keys.find(digestOf("adk_x"))).toBeUndefined();
  });

  test("Y3, Z5 when a key was last used is known everywhere, the latest of it, and brings no key back", async () => {
    const log = createMemoryKeyedLog();
    const [a, b] = [await gateway(log), await gateway(log)];
    const record = keyRecord("adk_x", "ci", ["read"], 5);
    await a.keys.add(record);
    await expect.poll(() => b.keys.list()).toHaveLength(1);
    await a.keys.noteUses(
      new Map([
        [record.keyId, 70],
        ["none", 71],
      ]),
    );
    await b.keys.noteUses(new Map([[record.keyId, 60]]));
    for (const { keys } of [a, b, await gateway(log)]) {
      await expect.poll(() => keys.replica.status().progress).toBe(3);
      expect(keys.list()).toEqual([{ ...record, lastUsedAtMs: 70 }]);
    }
    log.compact();
    await a.keys.remove(record.keyId);
    await log.append([recordOf({ kind: "used", ...record, atMs: 80 })]);
    expect((await gateway(log)).keys.list()).toEqual([]);
  });

  test("Z3 a removed key stays so for a gateway that starts later, whatever compaction took, and after a repeat", async () => {
    const log = createMemoryKeyedLog();
    const a = await gateway(log);
    const record = keyRecord("adk_x", "ci", ["read"], 5);
    await a.keys.add(record);
    await a.keys.remove(record.keyId);
    await a.keys.add(keyRecord("adk_other", "other", [], 6));
    for (let repeat = 0; repeat < 3; repeat++) {
      log.compact();
      for (const each of [a, await gateway(log)]) {
        expect(each.authenticate("adk_x")).toBeUndefined();
        expect(each.keys.list().map(({ name }) => name)).toEqual(["other"]);
      }
      await a.keys.add(record);
    }
  });

  test("with the log gone known keys are taken, and changes are refused by name", async () => {
    const log = createMemoryKeyedLog();
    const a = await gateway(log);
    await a.keys.add(keyRecord("adk_x", "ci", ["read"], 5));
    log.setDown(true);
    expect(a.authenticate("adk_x")).toBeDefined();
    for (const change of [a.keys.add(keyRecord("adk_y", "ci", [], 5)), a.keys.remove("none")]) {
      await expect(change).rejects.toMatchObject({ code: "CATALOGUE_UNAVAILABLE" });
    }
  });

  test("what is no key change is quarantined; a change comes back as it was written", async () => {
    const record = keyRecord("adk_x", "Schlüssel", ["admin", "submit"], 1_790_000_000_000);
    expect(decodeChange(recordOf({ kind: "added", record }).value)).toEqual({ kind: "added", record });
    const removed = { kind: "removed", digest: record.digest, keyId: record.keyId } as const;
    expect(decodeChange(recordOf(removed).value)).toEqual(removed);
    const log = createMemoryKeyedLog();
    const json = (fields: object) => seal(1, Buffer.from(JSON.stringify(fields)));
    const digest = record.digest.toString("hex");
    await log.append([
      keyed("a", "junk"),
      keyed("b", json({})),
      keyed("c", seal(1, Buffer.from("null"))),
      keyed("d", json({ kind: "added", digest, keyId: "k", name: "n", createdAtMs: 1, scopes: ["root"] })),
      keyed("e", json({ kind: "granted", digest, keyId: "k" })),
    ]);
    const a = await gateway(log);
    expect(a.keys.replica.status()).toMatchObject({ isReady: true, quarantined: 5 });
    expect(a.keys.list()).toEqual([]);
  });
});
