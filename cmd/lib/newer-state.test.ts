import { mkdtemp, mkdir, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { createFileSharedState } from "../../actors/adapters/embedded/file-shared-state.ts";
import { encodeAssignment, type Assignment } from "../../actors/assignment/assignment.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import { DEFAULT_LIMITS as limits } from "../../actors/core/limits.ts";
import type { SharedState } from "../../actors/ports/shared-state.ts";
import { addGeneration, emptyTable } from "../../actors/routing/table.ts";
import { encodeTable } from "../../actors/routing/table-json.ts";
import { systemClock as clock } from "../../actors/runtime/clock.ts";
import { silentLogger as logger } from "../../actors/runtime/log.ts";
import { followAssignment } from "./followers.ts";
import { assignmentVersion, createNewerState, routingVersion } from "./newer-state.ts";

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const assignment = (version: number): string => {
  const hosts = new Map([["host-0", "10.0.0.7:7070"]]);
  const shards: Assignment["shards"] = new Map([[0, { host: "host-0", epoch: 1 }]]);
  return encodeAssignment({ version, hosts, shards });
};

/** A store that can be away, as Redis can. */
function store(text?: string) {
  const watchers = new Set<(text: string) => void>();
  const state = {
    text,
    isAway: false,
    set(next: string) {
      state.text = next;
      for (const tell of watchers) tell(next);
    },
    read: () => (state.isAway ? away() : Promise.resolve(state.text)),
    async publish(next: string) {
      if (state.isAway) return away();
      state.set(next);
    },
    async replace(current: string | undefined, next: string) {
      if (state.isAway) return away();
      if (state.text !== current) return false;
      state.set(next);
      return true;
    },
    watch(onText: (text: string) => void) {
      watchers.add(onText);
      if (state.text !== undefined) onText(state.text);
      return { close: () => void watchers.delete(onText) };
    },
  };
  return state satisfies SharedState & { readonly isAway: boolean };
}
const away = () => Promise.reject(new AdtallyError("SHARED_STATE_UNAVAILABLE", "it is away"));

const both = (truth: SharedState, copy: SharedState) =>
  createNewerState({ truth, copy, versionOf: assignmentVersion, logger });

describe("a shared document from two places", () => {
  it("T1: the newer text holds, wherever it is; of equal ones the truth's", async () => {
    const [truth, copy] = [store(assignment(4)), store(assignment(5))];
    const state = both(truth, copy);
    expect(await state.read()).toBe(assignment(5));
    truth.text = assignment(6);
    expect(await state.read()).toBe(assignment(6));
    copy.text = `${assignment(6)} `;
    expect(await state.read()).toBe(assignment(6));
    truth.text = "{ damaged";
    expect(await state.read()).toBe(copy.text);
    copy.text = undefined;
    expect(await state.read()).toBe("{ damaged");
  });

  it("T1: a routing table is newer by the generation that takes force last", () => {
    const one = addGeneration(emptyTable(0), { shardCount: 4 }, 0, limits);
    const two = addGeneration(one, { shardCount: 8 }, 1_000_000, limits);
    const version = routingVersion(limits);
    const [nothing, first, second] = [emptyTable(0), one, two].map((table) => version(encodeTable(table)));
    expect(nothing).toBeLessThan(first!);
    expect(first).toBeLessThan(second!);
  });

  it("T2: either may be away, not both", async () => {
    const [truth, copy] = [store(assignment(4)), store(assignment(5))];
    const state = both(truth, copy);
    truth.isAway = true;
    expect(await state.read()).toBe(assignment(5));
    copy.isAway = true;
    await expect(state.read()).rejects.toThrow("it is away");
    truth.isAway = false;
    expect(await state.read()).toBe(assignment(4));
    truth.isAway = true;
    [copy.isAway, copy.text] = [false, undefined];
    // That nothing is there can be told by the truth alone.
    await expect(state.read()).rejects.toThrow("it is away");
  });

  it("T3: whoever watches is told of what is new, from either, and of nothing old", () => {
    const [truth, copy] = [store(assignment(4)), store()];
    const seen: string[] = [];
    const watch = both(truth, copy).watch((text) => seen.push(text));
    copy.set(assignment(6));
    truth.set(assignment(5));
    truth.set(assignment(6));
    truth.set(assignment(7));
    copy.set(assignment(7));
    watch.close();
    copy.set(assignment(9));
    expect(seen).toEqual([4, 6, 7].map(assignment));
  });

  it("T4: replaces what holds, also where the copy alone has it, and what another replaced not", async () => {
    const [truth, copy] = [store(assignment(4)), store(assignment(5))];
    const state = both(truth, copy);
    expect(await state.replace(assignment(4), assignment(6))).toBe(false);
    expect(await state.replace(assignment(5), assignment(6))).toBe(true);
    expect([truth.text, copy.text]).toEqual([assignment(6), assignment(6)]);
    copy.isAway = true;
    expect(await state.replace(assignment(6), assignment(7))).toBe(true);
    expect([truth.text, copy.text]).toEqual([assignment(7), assignment(6)]);
  });

  it("a folder as a ConfigMap is mounted, swapped while it is read: no host obeys an older one, and nothing is written there", async () => {
    const dir = await mkdtemp(path.join(tmpdir(), "adtally-state-"));
    ends.push(() => rm(dir, { recursive: true, force: true }));
    const publish = async (revision: string, text: string) => {
      await mkdir(path.join(dir, revision));
      await writeFile(path.join(dir, revision, "assignment.json"), text);
      await symlink(revision, path.join(dir, "..data_tmp"));
      await rename(path.join(dir, "..data_tmp"), path.join(dir, "..data"));
    };
    await publish("..1", assignment(1));
    await symlink("..data/assignment.json", path.join(dir, "assignment.json"));
    const file = path.join(dir, "assignment.json");
    const truth = createFileSharedState({ path: file, pollMs: 5, deadlineMs: 10_000, clock, logger });
    const copy = store();
    const versions: number[] = [];
    const following = followAssignment({ state: both(truth, copy), logger }, ({ version }) =>
      versions.push(version),
    );
    ends.push(() => following.close());
    await following.begin();
    const until = (version: number) =>
      expect.poll(() => following.assignment.version, { timeout: 20_000 }).toBe(version);
    await until(1);
    copy.set(assignment(3));
    await until(3);
    await publish("..2", assignment(2));
    await publish("..4", assignment(4));
    await until(4);
    copy.isAway = true;
    await publish("..5", assignment(5));
    await until(5);
    expect(versions).toEqual([1, 3, 4, 5]);
    expect((await readdir(dir)).sort()).toEqual(["..1", "..2", "..4", "..5", "..data", "assignment.json"]);
  });
});
