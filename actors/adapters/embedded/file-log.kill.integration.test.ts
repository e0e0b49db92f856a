/** SIGKILL at random moments: what the process had called durable is there. ADTALLY_SEED repeats a run. */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { mix32 } from "../../core/hash.ts";
import { expectRecord, readAll } from "../../ports/click-log.conformance.ts";
import { sampleBlock } from "../../ports/click-log.sample.ts";
import { systemClock, systemRandom } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { waitMs } from "./file-log.fixture.ts";
import { openFileLog } from "./file-log.ts";

const seed = Number(process.env["ADTALLY_SEED"] ?? systemRandom(4).readUInt32LE(0));
const CHILD = fileURLToPath(new URL("./kill-child.fixture.ts", import.meta.url));
const ROUNDS = 6;
const PARTITIONS = 4;
const SEGMENT_BYTES = 512 * 1024;

/** Runs the child until it is killed, `afterMs` behind its first word; resolves with what it printed. */
async function runAndKill(dir: string, afterMs: number): Promise<string[]> {
  const child = spawn(process.execPath, [CHILD, dir, String(PARTITIONS), String(SEGMENT_BYTES)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  const isReady = Promise.withResolvers<void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    isReady.resolve();
  });
  const closed = new Promise<NodeJS.Signals | null>((resolve) =>
    child.on("close", (_, signal) => resolve(signal)),
  );
  await Promise.race([isReady.promise, closed]);
  await waitMs(afterMs);
  child.kill("SIGKILL");
  expect(await closed).toBe("SIGKILL");
  return output.split("\n").slice(1, -1);
}

it(
  `L6: ${ROUNDS} times SIGKILL loses no acknowledged block (seed ${seed})`,
  { timeout: 120_000 },
  async () => {
    const dir = await mkdtemp(path.join(os.tmpdir(), "adtally-kill-"));
    onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const next = new Array<number>(PARTITIONS).fill(0);
    const limits = { logSegmentBytes: SEGMENT_BYTES, logQueueMaxBytes: 1 << 26, overloadRetryAfterMs: 200 };
    let state = seed;
    let total = 0;
    for (let round = 0; round < ROUNDS; round++) {
      state = mix32(state + 0x9e3779b9);
      const lines = await runAndKill(dir, state % 400);
      for (const line of lines) {
        const [partition, offset] = line.split(" ").map(Number);
        expect(offset).toBe(next[partition!]);
        next[partition!] = offset! + 1;
      }
      total += lines.length;
      const log = await openFileLog({ dir, limits, clock: systemClock, logger: silentLogger });
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const records = await readAll(log.topic("clicks"), partition, 0, 1 << 20);
        expect(records.length).toBeGreaterThanOrEqual(next[partition]!);
        // One append may have been durable without its answer having been printed.
        expect(records.length).toBeLessThanOrEqual(next[partition]! + 1);
        records.forEach((record, i) =>
          expectRecord(record, i, sampleBlock(i + 1, 100 + ((i * 977) % 5_000))),
        );
        next[partition] = records.length;
      }
      await log.close();
    }
    expect(total).toBeGreaterThan(0);
    await rm(dir, { recursive: true, force: true });
  },
);
