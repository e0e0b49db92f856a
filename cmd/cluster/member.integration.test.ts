import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { freePorts } from "../../testing/servers/process.ts";
import { programMember, startTogether } from "./member.ts";

test("M3: a start waited 90 s for members that waited for the one that had failed", async () => {
  const dir = await mkdtemp(path.join(os.tmpdir(), "adtally-member-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const [port] = await freePorts(1);
  const member = (name: string, ...args: string[]) =>
    programMember({
      name,
      main: "cmd/cluster/member.fixture.ts",
      args,
      logFile: path.join(dir, `${name}.log`),
      aliveUrl: `http://127.0.0.1:${port}/`,
      readyUrl: `http://127.0.0.1:${port}/`,
    });
  const members = [member("query"), member("actor-0", "fail"), member("gateway-0")];
  const beganAtMs = performance.now();
  await expect(startTogether(members)).rejects.toThrow(/actor-0 .*ended at its start.*\n.*no key was given/);
  expect(performance.now() - beganAtMs).toBeLessThan(20_000);
  expect(members.map(({ isRunning }) => isRunning)).toEqual([false, false, false]);
}, 30_000);
