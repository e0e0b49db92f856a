import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openRocks } from "./rocks.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "adtally-rocks-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const b = (text: string) => Buffer.from(text);

describe("openRocks", () => {
  test("reads back a written batch, after a restart too", async () => {
    const first = await openRocks(dir);
    const batch = first.batch();
    batch.put(b("a"), b("1"));
    batch.put(b("b"), b("2"));
    batch.del(b("a"));
    expect(batch.length).toBe(3);
    batch.write({ sync: true });
    await first.close();

    const second = await openRocks(dir);
    expect(second.get(b("a"))).toBeUndefined();
    expect(second.getMany([b("b"), b("c")])).toEqual([b("2"), undefined]);
    expect(await second.getManyAsync([b("c"), b("b")])).toEqual([undefined, b("2")]);
    await second.close();
  });

  test("scans more than one chunk in order, forwards, backwards and with a limit", async () => {
    const store = await openRocks(dir);
    const batch = store.batch();
    const keys = Array.from({ length: 2_500 }, (_, n) => b(String(n).padStart(5, "0")));
    for (const key of keys) batch.put(key, key);
    batch.write({ sync: false });

    expect([...store.scan({ gte: keys[0]! })].map(([key]) => key)).toEqual(keys);
    expect([...store.scan({ lt: keys[10]!, reverse: true, limit: 2 })].map(([, value]) => value)).toEqual([
      keys[9],
      keys[8],
    ]);
    const withoutValues = [...store.scan({ gt: keys[2_498]!, values: false })];
    expect(withoutValues).toEqual([[keys[2_499], Buffer.alloc(0)]]);

    await store.deleteRange({ gte: keys[1]!, lt: keys[2_499]! });
    expect([...store.scan({})].map(([key]) => key)).toEqual([keys[0], keys[2_499]]);
    await store.close();
  });

  test("a batch begins empty, after a write and after a discard of an earlier one", async () => {
    const store = await openRocks(dir);
    const written = store.batch();
    written.put(b("a"), b("1"));
    written.write({ sync: false });
    const discarded = store.batch();
    discarded.put(b("b"), b("2"));
    discarded.discard();
    for (const over of [written, discarded]) {
      expect(() => over.put(b("x"), b("x"))).toThrow("after its write");
      expect(() => over.write({ sync: false })).toThrow("after its write");
      expect(() => over.discard()).toThrow("after its write");
    }
    const atOnce = [store.batch(), store.batch()] as const;
    expect(atOnce.map((batch) => batch.length)).toEqual([0, 0]);
    atOnce[0].put(b("c"), b("3"));
    expect(atOnce[1].length).toBe(0);
    for (const batch of atOnce) batch.write({ sync: false });
    expect([...store.scan({})].map(([key]) => key.toString())).toEqual(["a", "c"]);
    await store.close();
  });

  test("a second opening of one directory is DATA_DIR_IN_USE, from this process", async () => {
    const store = await openRocks(dir);
    await expect(openRocks(dir)).rejects.toMatchObject({
      code: "DATA_DIR_IN_USE",
      message: expect.stringContaining(`${dir} is in use by this very process`) as string,
    });
    await store.close();
    await (await openRocks(dir)).close();
  });

  test("a closed store refuses every call, rather than crashing the process", async () => {
    const store = await openRocks(dir);
    await store.close();
    expect(() => store.get(b("a"))).toThrow("was closed");
    expect(() => store.batch()).toThrow("was closed");
    expect(() => store.scan({})).toThrow("was closed");
    await expect(store.getManyAsync([b("a")])).rejects.toThrow("was closed");
    await expect(store.deleteRange({ gte: b("a"), lt: b("b") })).rejects.toThrow("was closed");
  });

  test("and from another process, whose id it did not tell", async () => {
    const script = `import { openRocks } from ${JSON.stringify(join(import.meta.dirname, "rocks.ts"))};
      await openRocks(${JSON.stringify(dir)}); process.stdout.write("open"); process.stdin.resume();`;
    const holder = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(holder.stdout, "data");
    await expect(openRocks(dir)).rejects.toMatchObject({
      code: "DATA_DIR_IN_USE",
      message: expect.stringContaining(`process ${holder.pid}`) as string,
    });
    holder.kill("SIGKILL");
    await once(holder, "exit");
    await (await openRocks(dir)).close();
  });
});
