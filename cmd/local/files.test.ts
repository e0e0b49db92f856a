import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { loadRouting, loadTokenKeys } from "./files.ts";

const NOW = 1_760_000_000_000;
const refused = { code: "CONFIG_INVALID" };

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "adtally-files-"));
});
afterEach(() => rm(dir, { recursive: true }));

const routing = (isFresh: boolean, shards = 4) => loadRouting(dir, shards, NOW, DEFAULT_LIMITS, isFresh);
const keys = (isFresh: boolean) => loadTokenKeys(dir, (count) => randomBytes(count), isFresh);

describe.each([
  ["routing.json", routing],
  ["token-keys.json", keys],
] as const)("%s", (name, load) => {
  test("is made once, and then read", async () => {
    const made = await load(true);
    const { readAtMs: _, ...kept } = { readAtMs: 0, ...(await load(false)) };
    expect(made).toMatchObject(kept);
  });

  test("was made anew where clicks had been counted under the one that is gone", async () => {
    await expect(load(false)).rejects.toMatchObject(refused);
    await expect(readFile(join(dir, name))).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("was believed with any bit turned that left it readable", async () => {
    await load(true);
    const whole = await readFile(join(dir, name));
    const before = await load(false);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const damaged = Buffer.from(whole);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      await writeFile(join(dir, name), damaged);
      // Blanks, and the checksum's own name, say nothing: the rest is as it was.
      const found = await load(false).catch((error: unknown) => error);
      if (found instanceof Error) expect(found).toMatchObject(refused);
      else expect(found).toEqual(before);
    }
  });

  test("without a checksum, as a person wrote it, is taken", async () => {
    await load(true);
    const { crc32: _, ...fields } = JSON.parse(await readFile(join(dir, name), "utf8")) as { crc32: string };
    await writeFile(join(dir, name), JSON.stringify(fields));
    await expect(load(false)).resolves.toBeDefined();
  });
});

test("another shard count adds a generation to the table that is kept", async () => {
  await routing(true);
  expect((await routing(false, 8)).newestFirst.map(({ shardCount }) => shardCount)).toEqual([8, 4]);
  expect((await routing(false, 8)).newestFirst).toHaveLength(2);
});
