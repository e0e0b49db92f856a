/** `npm start`: reads flags, starts everything, says when it serves, drains on Ctrl-C. */
import { readFileSync } from "node:fs";
import pino from "pino";
import { isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { systemClock, systemRandom } from "../../actors/runtime/clock.ts";
import { tuneCollector } from "../../actors/runtime/heap.ts";
import { isWildcard } from "../lib/public-url.ts";
import { readConfig } from "./config.ts";
import { startLocal } from "./local.ts";

tuneCollector();
const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};
const config = readConfig(process.argv.slice(2), version);
const logger = pino({ level: config.logLevel }, pino.destination({ dest: 2, sync: true }));
const say = (line: string) => void process.stdout.write(`${line}\n`);
const startedAt = performance.now();
const seconds = () => `${((performance.now() - startedAt) / 1_000).toFixed(1)} s`;

// A state nobody foresaw must not go on counting: the log has all that was acknowledged.
process.on("uncaughtException", (error) => {
  logger.error({ error: error.stack }, "fatal: stopping at once, the log has all that was acknowledged");
  process.exit(1);
});

try {
  const local = await startLocal({
    config,
    version,
    limits: DEFAULT_LIMITS,
    clock: systemClock,
    random: systemRandom,
    logger,
    progress: (what) => say(`  ${what} (${seconds()})`),
  });
  say(`adtally ready ${local.url}`);
  if (config.publicUrl === undefined && isWildcard(config.host))
    say(`  click URLs  ${local.publicUrl}/click… work on this machine alone: --public-url names another`);
  if (config.demo) say(`  demo        ${local.url}/demo`);
  say(`  gRPC        ${local.grpcAddress}`);
  say(`  ClickHouse  ${local.clickhouseUrl}`);
  if (local.adminKeyPath !== undefined) say(`  admin key   in ${local.adminKeyPath}`);
  for (const { advertiser, key } of local.demoKeys) say(`  read key    ${key}  (${advertiser}, demo)`);
  say(`  data        ${config.dataDir}`);

  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) return;
    stopping = true;
    say(`${signal}: draining`);
    local.close().then(
      () => {
        say("stopped; nothing is lost");
        process.exit(0);
      },
      (error: unknown) => {
        logger.error({ error: messageOf(error) }, "drain failed");
        process.exit(1);
      },
    );
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
} catch (error) {
  const code = isAdtallyError(error) ? `${error.code}: ` : "";
  process.stderr.write(`adtally cannot start: ${code}${messageOf(error)}\n`);
  process.exit(1);
}
