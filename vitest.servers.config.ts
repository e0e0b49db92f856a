/**
 * Tests against real servers that the machine must first install (testing/servers): Kafka, Redis.
 * `npm run test:servers`. One file at a time: each starts servers of its own.
 */
import { randomInt } from "node:crypto";
import { defineConfig } from "vitest/config";

process.env["ADTALLY_SEED"] ??= String(randomInt(0x7fff_ffff));
process.stderr.write(`ADTALLY_SEED=${process.env["ADTALLY_SEED"]}\n`);

export default defineConfig({
  test: {
    name: "servers",
    pool: "forks",
    maxWorkers: 1,
    setupFiles: ["scripts/test-setup.ts"],
    include: ["**/*.servers.test.ts"],
    exclude: ["**/node_modules/**"],
    testTimeout: 90_000,
    // What is waited for is waited for: a busy machine is no finding.
    expect: { poll: { timeout: 20_000 } },
    // The first one installs what it needs.
    hookTimeout: 240_000,
  },
});
