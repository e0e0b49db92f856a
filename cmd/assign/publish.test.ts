/** Two who publish at the same time: each builds upon the other's. */
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createFileSharedState } from "../../actors/adapters/embedded/file-shared-state.ts";
import { decodeAssignment } from "../../actors/assignment/assignment.ts";
import { DEFAULT_LIMITS as limits } from "../../actors/core/limits.ts";
import { decodeTable } from "../../actors/routing/table-json.ts";
import { systemClock as clock } from "../../actors/runtime/clock.ts";
import { silentLogger as logger } from "../../actors/runtime/log.ts";
import { publishWanted } from "./publish.ts";

const HOSTS = new Map([
  ["a", "127.0.0.1:7001"],
  ["b", "127.0.0.1:7002"],
]);

test("two who published at once gave one number to two generations, and copies of a click parted", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "adtally-publish-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const document = (name: string) =>
    createFileSharedState({
      path: path.join(folder, `${name}.json`),
      pollMs: 10,
      deadlineMs: 10_000,
      clock,
      logger,
    });
  const publisher = () => ({
    routing: document("routing"),
    assignment: document("assignment"),
    clock,
    limits,
  });
  await publishWanted(publisher(), { hosts: HOSTS, shards: 4 });
  const wanted = [5, 6, 7, 8, 9];
  const plans = await Promise.all(
    wanted.map((shards) => publishWanted(publisher(), { hosts: HOSTS, shards })),
  );
  const table = decodeTable((await document("routing").read())!, clock.now(), limits);
  for (const [i, { routing }] of plans.entries()) {
    const own = routing!.newestFirst[0]!;
    expect(own.shardCount).toBe(wanted[i]);
    expect(table.generations.get(own.number)?.shardCount).toBe(wanted[i]);
  }
  expect(table.newestFirst.map(({ number }) => number)).toEqual([6, 5, 4, 3, 2, 1]);
  const { shards, version } = decodeAssignment((await document("assignment").read())!);
  expect(shards.size).toBe(9);
  expect(version).toBeLessThanOrEqual(6);
});
