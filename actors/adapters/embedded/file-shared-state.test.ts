import { mkdtemp, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { describeSharedState } from "../../ports/shared-state.conformance.ts";
import type { Watch } from "../../ports/shared-state.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createFileSharedState } from "./file-shared-state.ts";

const options = { pollMs: 10, deadlineMs: 1_000, clock: systemClock, logger: silentLogger };

describeSharedState("a file", {
  hooks: ["cut", "heal"],
  deadlineMs: options.deadlineMs,
  soonMs: 3_000,
  runs: 15,
  async make() {
    const root = await mkdtemp(path.join(os.tmpdir(), "adtally-shared-"));
    const folder = path.join(root, "state");
    const away = path.join(root, "away");
    const watches: Watch[] = [];
    let isCut = false;
    return {
      open() {
        const state = createFileSharedState({ ...options, path: path.join(folder, "assignment.json") });
        return {
          ...state,
          watch(onText) {
            const watch = state.watch(onText);
            watches.push(watch);
            return watch;
          },
        };
      },
      async cut() {
        if (isCut) return;
        isCut = true;
        // What is not a folder cannot be read from: as a broken mount.
        await rename(folder, away).catch(() => undefined);
        await writeFile(folder, "");
      },
      async heal() {
        if (!isCut) return;
        isCut = false;
        await rm(folder);
        await rename(away, folder).catch(() => undefined);
      },
      async close() {
        for (const watch of watches) watch.close();
        await rm(root, { recursive: true, force: true });
      },
    };
  },
});

describe("a shared file", () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), "adtally-shared-"));
    file = path.join(folder, "assignment.json");
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const open = (at = file) => createFileSharedState({ ...options, path: at });
  const watching = (at = file) => {
    const texts: string[] = [];
    const watch = open(at).watch((text) => texts.push(text));
    return { texts, close: () => watch.close() };
  };
  const has = (texts: readonly string[], text: string) =>
    expect.poll(() => texts.at(-1), { interval: 5, timeout: 3_000 }).toBe(text);

  it("takes over from a program that was killed while it replaced the text", async () => {
    await writeFile(`${file}.held`, "");
    const state = createFileSharedState({ ...options, path: file, deadlineMs: 300 });
    // What was left is old enough just when the first call's time is up: it is told either.
    const first = await state.replace(undefined, "1").catch((error: unknown) => error);
    if (first !== true) expect(first).toMatchObject({ code: "SHARED_STATE_UNAVAILABLE" });
    await expect.poll(() => open().read(), { timeout: 3_000 }).toBe("1");
    expect(await state.replace("1", "2")).toBe(true);
    expect(await readdir(folder)).toEqual(["assignment.json"]);
  });

  it("leaves nothing beside it", async () => {
    const state = open();
    await Promise.all(["a", "b"].map((text) => state.publish(text)));
    expect(await readdir(folder)).toEqual(["assignment.json"]);
  });

  it("is watched when edited in place, to a text of the same length", async () => {
    const watcher = watching();
    await writeFile(file, "one");
    await has(watcher.texts, "one");
    await writeFile(file, "two");
    await has(watcher.texts, "two");
    watcher.close();
  });

  it("is watched through a symbolic link that is swapped, as a ConfigMap's is", async () => {
    const versions = ["one", "two"].map((name) => path.join(folder, name));
    for (const version of versions) await writeFile(version, path.basename(version));
    await symlink(versions[0]!, file);
    const watcher = watching();
    await has(watcher.texts, "one");
    await symlink(versions[1]!, path.join(folder, "next"));
    await rename(path.join(folder, "next"), file);
    await has(watcher.texts, "two");
    watcher.close();
  });

  it("changes nothing for watchers when it is removed, or touched", async () => {
    const watcher = watching();
    await open().publish("one");
    await has(watcher.texts, "one");
    await rm(file);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await writeFile(file, "one");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(watcher.texts).toEqual(["one"]);
    await open().publish("two");
    await has(watcher.texts, "two");
    watcher.close();
  });
});
