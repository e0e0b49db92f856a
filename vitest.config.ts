/**
 * Tests. Every randomised test draws from one seed, printed at the start: a run is repeated with
 * `ADTALLY_SEED=… npm test`.
 */
import { randomInt } from "node:crypto";
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const MOST_WORKERS = 4;

process.env["ADTALLY_SEED"] ??= String(randomInt(0x7fff_ffff));
const seed = process.env["ADTALLY_SEED"];
process.stderr.write(`ADTALLY_SEED=${seed}\n`);

const common = {
  // Native addons (RocksDB, chDB) are not made to be loaded by several threads of one process.
  pool: "forks" as const,
  setupFiles: ["scripts/test-setup.ts"],
  // What is waited for is waited for: a busy machine is no finding.
  expect: { poll: { timeout: 10_000 } },
};

export default defineConfig({
  test: {
    maxWorkers: Math.max(1, Math.min(availableParallelism(), MOST_WORKERS)),
    projects: [
      {
        test: {
          ...common,
          name: "unit",
          include: ["**/*.test.ts"],
          exclude: ["**/node_modules/**", "**/*.integration.test.ts", "**/*.servers.test.ts"],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          ...common,
          name: "integration",
          include: ["**/*.integration.test.ts"],
          exclude: ["**/node_modules/**"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
