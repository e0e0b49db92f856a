/** A gateway's own disk: what neither a shard nor the spill topic takes, kept until one of them does. */
import path from "node:path";
import { createFileSharedState } from "../../actors/adapters/embedded/file-shared-state.ts";
import { openFileLog } from "../../actors/adapters/embedded/file-log.ts";
import { AdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { ClickLog } from "../../actors/ports/click-log.ts";
import type { SpoolProgress } from "../../actors/spill/spool-drainer.ts";
import type { Program } from "../lib/program.ts";

const RETENTION_CHECK_MS = 60_000;
const FILE_DEADLINE_MS = 2_000;
const FILE_POLL_MS = 60_000;

export interface Spool {
  readonly log: ClickLog;
  readonly progress: SpoolProgress;
}

/** @throws DATA_DIR_IN_USE, LOG_CORRUPT, CONFIG_INVALID */
export async function openSpool(program: Program<{ readonly dataDir: string }>): Promise<Spool> {
  const { clock, config, life, limits, logger } = program;
  const log = await openFileLog({ dir: path.join(config.dataDir, "spool"), limits, clock, logger });
  const retention = clock.every(RETENTION_CHECK_MS, () => {
    log.retain(clock.now() - limits.logRetentionMs).catch((error: unknown) => {
      logger.error({ error: messageOf(error) }, "spool retention failed");
    });
  });
  life.onStop("the spool", () => {
    retention.cancel();
    return log.close();
  });
  const file = path.join(config.dataDir, "spool-progress.json");
  const options = { path: file, pollMs: FILE_POLL_MS, deadlineMs: FILE_DEADLINE_MS, clock, logger };
  const document = createFileSharedState(options);
  return {
    log: log.topic("clicks-spill"),
    progress: {
      load: async () => decodeProgress(file, await document.read()),
      save: (progress) => document.publish(JSON.stringify(Object.fromEntries(progress))),
    },
  };
}

/** {"3":17}: of shard 3's spooled blocks the first 17 are drained. */
function decodeProgress(file: string, text: string | undefined): ReadonlyMap<number, number> {
  if (text === undefined) return new Map();
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  try {
    const entries = Object.entries(JSON.parse(text) as Record<string, unknown>);
    return new Map(
      entries.map(([shard, offset]) => {
        if (!isCount(Number(shard)) || !isCount(offset)) throw new Error(`shard ${shard}: not an offset`);
        return [Number(shard), offset] as const;
      }),
    );
  } catch (error) {
    // Drained again from the beginning, each click is found to be a repeat: but that takes a person's word.
    const why = `${file} is damaged (${messageOf(error)}): remove it to have the spool drained from its beginning`;
    throw new AdtallyError("CONFIG_INVALID", why, { cause: error });
  }
}
