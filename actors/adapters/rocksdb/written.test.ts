import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openRocks } from "./rocks.ts";
import { openWritten, writtenPath } from "./written.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "adtally-written-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const b = (text: string) => Buffer.from(text);

async function putTen(): Promise<void> {
  const store = await openRocks(dir, { irreplaceable: true });
  for (let n = 0; n < 10; n++) {
    const batch = store.batch();
    batch.put(b(`key ${n}`), Buffer.alloc(64, n));
    batch.write({ sync: true });
  }
  await store.close();
}

async function damageLog(): Promise<void> {
  const [name] = (await readdir(dir)).filter((each) => /^\d+\.log$/.test(each));
  const path = join(dir, name!);
  const bytes = await readFile(path);
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(path, bytes);
}

describe("a store that nothing can make again", () => {
  test("with a bit of its write-ahead log turned was opened without the writes behind it", async () => {
    await putTen();
    await damageLog();
    await expect(openRocks(dir, { irreplaceable: true })).rejects.toMatchObject({ code: "STORE_CORRUPT" });
    await rm(writtenPath(dir));
    const rest = await openRocks(dir, { irreplaceable: true });
    expect(rest.get(b("key 0"))).toBeDefined();
    expect(rest.get(b("key 9"))).toBeUndefined();
    await rest.close();
  });

  test("opens again and again when nothing is lost", async () => {
    for (let life = 0; life < 3; life++) await putTen();
    const store = await openRocks(dir, { irreplaceable: true });
    expect(store.get(b("key 9"))).toBeDefined();
    await store.close();
  });
});

test("a note that is damaged itself, or not there, says nothing", async () => {
  const first = openWritten(dir);
  expect(first.before).toBe(0);
  first.note(12);
  first.note(345);
  first.close();
  const second = openWritten(dir);
  expect(second.before).toBe(345);
  second.close();
  const text = await readFile(writtenPath(dir), "utf8");
  await writeFile(writtenPath(dir), text.replace("345", "945"));
  const third = openWritten(dir);
  expect(third.before).toBe(0);
  third.close();
});
