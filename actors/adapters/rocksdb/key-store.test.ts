import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { digestOf, keyRecord } from "../../keys/api-key.ts";
import { openRocksKeyStore } from "./key-store.ts";

test("keys outlive a restart, can be removed, and never stand on disk in clear", async () => {
  const dir = await mkdtemp(join(tmpdir(), "adtally-keys-"));
  const first = await openRocksKeyStore(dir);
  const record = keyRecord("adk_find-me-on-disk", "ci", ["read", "submit"], 5);
  await first.add(record);
  await first.add(keyRecord("adk_other", "other", [], 6));
  await first.close();

  const second = await openRocksKeyStore(dir);
  expect(second.find(digestOf("adk_find-me-on-disk"))).toEqual(record);
  expect(second.find(digestOf("adk_find-me-on-dish"))).toBeUndefined();
  expect(
    second
      .list()
      .map(({ name }) => name)
      .toSorted(),
  ).toEqual(["ci", "other"]);
  expect(await second.remove(record.keyId)).toBe(true);
  expect(await second.remove(record.keyId)).toBe(false);
  expect(second.find(record.digest)).toBeUndefined();
  await second.close();

  for (const name of await readdir(dir)) {
    expect((await readFile(join(dir, name))).includes("find-me-on-disk")).toBe(false);
  }
  await rm(dir, { recursive: true });
});
