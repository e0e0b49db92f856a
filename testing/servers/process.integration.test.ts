import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { holding } from "./hold.ts";
import { freePorts, startProcess } from "./process.ts";

/** A process that ended and that nobody has waited for yet is gone as well. */
function isGone(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
  } catch {
    return true;
  }
}

describe("a server's process", () => {
  it("W1 ends with its parent, even one that is killed", async () => {
    const parent = spawn(process.execPath, [path.join(import.meta.dirname, "parent.fixture.ts")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const pid = await new Promise<number>((resolve) =>
      parent.stdout.once("data", (chunk: Buffer) => resolve(Number(chunk.toString()))),
    );
    expect(isGone(pid)).toBe(false);
    parent.kill("SIGKILL");
    await expect.poll(() => isGone(pid), { timeout: 20_000 }).toBe(true);
  });

  it("W2 is gone when kill resolves, and again when it was gone already", async () => {
    const server = await startProcess({
      name: "a server",
      command: "sleep",
      args: ["1000"],
      isReady: () => true,
      readyMs: 1_000,
    });
    expect(server.isRunning).toBe(true);
    await server.kill();
    expect(server.isRunning).toBe(false);
    await server.stop();
  });

  it("that fails at its start says what it said", async () => {
    const failing = startProcess({
      name: "a server",
      command: "sh",
      args: ["-c", "echo the port is taken >&2; exit 3"],
      isReady: () => false,
      readyMs: 5_000,
    });
    await expect(failing).rejects.toThrow(/a server ended at its start.*\n.*the port is taken/);
    const missing = {
      name: "a server",
      command: "no-such-command",
      args: [],
      isReady: () => false,
      readyMs: 5_000,
    };
    await expect(startProcess(missing)).rejects.toThrow(/no-such-command/);
  });

  it("that never serves is killed", async () => {
    const slow = { name: "a server", command: "sleep", args: ["1000"], isReady: () => false, readyMs: 100 };
    await expect(startProcess(slow)).rejects.toThrow("did not serve within 100 ms");
  });

  it("gets ports that differ", async () => {
    expect(new Set(await freePorts(5)).size).toBe(5);
  });
});

describe("a hold", () => {
  const folder = () => {
    const dir = mkdtempSync(path.join(os.tmpdir(), "adtally-hold-"));
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    return dir;
  };

  it("of a process that died is taken over", async () => {
    const dir = folder();
    const file = path.join(dir, "hold");
    const dead = spawn("true");
    await new Promise((resolve) => dead.once("exit", resolve));
    writeFileSync(file, String(dead.pid));
    expect(
      await holding(
        file,
        () => undefined,
        async () => "done",
      ),
    ).toBe("done");
    expect(readdirSync(dir)).toEqual([]);
  });

  it("of a process that lives is waited for, and said so once", async () => {
    const dir = folder();
    const file = path.join(dir, "hold");
    const holder = spawn("sleep", ["0.6"]);
    writeFileSync(file, String(holder.pid));
    const told: number[] = [];
    const started = performance.now();
    await holding(
      file,
      (pid) => void told.push(pid),
      () => sleep(0),
    );
    expect(told).toEqual([holder.pid]);
    expect(performance.now() - started).toBeGreaterThan(300);
  });
});
