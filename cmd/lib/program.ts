/**
 * What every program of a cluster is besides its own parts: configuration, structured logs,
 * signals, and the end of the process.
 *
 *   SIGTERM, SIGINT   readiness off, drain, flush, exit 0 (1 where something would not stop)
 *   the second one    exit 1 at once: the log has all that was acknowledged
 *   a fault nobody foresaw   exit 1 at once, for the same reason
 */
import { flushCompileCache } from "node:module";
import { readFileSync } from "node:fs";
import pino from "pino";
import { isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import { assertLimits, type Limits } from "../../actors/core/limits.ts";
import { systemClock, systemRandom, type Clock, type RandomBytes } from "../../actors/runtime/clock.ts";
import { tuneCollector } from "../../actors/runtime/heap.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import { createMetrics, type Metrics } from "../../actors/runtime/metrics.ts";
import type { ProgramSpec } from "../config/command-line.ts";
import { configure } from "../config/invocation.ts";
import type { ConfigOf, Setting, Settings } from "../config/setting.ts";
import { prepareDataDir } from "./data-dir.ts";
import { Lifecycle } from "./lifecycle.ts";
import { limitsOf, type RetentionConfig } from "./retention.ts";

export interface Program<C> {
  readonly config: C;
  readonly life: Lifecycle;
  /** Of the parts: several of them drain one after the other within the program's own deadline. */
  readonly limits: Limits;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly version: string;
}

type CommonSettings = Settings & {
  readonly hostName: Setting<string>;
  readonly logLevel: Setting<"debug" | "info" | "warn" | "error" | "silent">;
  readonly drainNoticeMs: Setting<number>;
};

/** Parts that drain in turn: a server, what it feeds, the sink, the files. */
const DRAINING_PARTS = 4;

/** Where the program serves, for the line that says it is ready; undefined where it is done. */
type Start<C> = (program: Program<C>) => Promise<Readonly<Record<string, string | number>> | undefined>;

export const PROGRAM_VERSION = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }
).version;

export async function runProgram<S extends CommonSettings>(
  spec: ProgramSpec<S>,
  start: Start<ConfigOf<S>>,
): Promise<void> {
  tuneCollector();
  const config = configure(spec, PROGRAM_VERSION);
  const { hostName, logLevel, drainNoticeMs } = config as ConfigOf<CommonSettings>;
  const logger = pino(
    {
      level: logLevel,
      base: { program: spec.name, host: hostName },
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.destination({ dest: 2, sync: true }),
  );
  process.on("uncaughtException", (error) => {
    logger.fatal({ error: error.stack }, "stopping at once: the log has all that was acknowledged");
    process.exit(1);
  });
  const limits = limitsOf(config as Partial<RetentionConfig>);
  assertLimits(limits);
  // Where NODE_COMPILE_CACHE names a folder: now, as a killed process would leave nothing there.
  flushCompileCache();
  const life = new Lifecycle({ limits, drainNoticeMs, clock: systemClock, logger });
  const end = async (code: number) => process.exit((await life.stop()) ? code : 1);

  let signals = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    signals += 1;
    if (signals > 1) {
      logger.warn({ signal }, "stopping at once");
      process.exit(1);
    }
    logger.info({ signal }, "draining");
    void end(0);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);

  const program: Program<ConfigOf<S>> = {
    config,
    life,
    limits: { ...limits, drainDeadlineMs: limits.drainDeadlineMs / DRAINING_PARTS },
    clock: systemClock,
    random: systemRandom,
    logger,
    metrics: createMetrics({ process: true }),
    version: PROGRAM_VERSION,
  };
  try {
    const addresses = await life.start(async () => {
      const { dataDir } = config as { readonly dataDir?: string };
      if (dataDir !== undefined) await prepareDataDir(dataDir);
      return start(program);
    });
    if (addresses === undefined) await end(0);
    else logger.info({ ...addresses, version: PROGRAM_VERSION }, "ready");
  } catch (error) {
    if (signals > 0) return;
    const code = isAdtallyError(error) ? `${error.code}: ` : "";
    logger.debug({ error: error instanceof Error ? error.stack : String(error) }, "the start failed");
    process.stderr.write(`${spec.name} cannot start: ${code}${messageOf(error)}\n`);
    await end(1);
  }
}
