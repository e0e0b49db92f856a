/**
 * A gateway's own disk: what neither a shard nor the spill topic takes, kept until one of them does.
 * Its segments go when they are drained, and nothing else makes them go: it is bounded by its size.
 */
import path from "node:path";
import { createFileSharedState } from "../../actors/adapters/embedded/file-shared-state.ts";
import { openFileLog } from "../../actors/adapters/embedded/file-log.ts";
import { AdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { ClickLog } from "../../actors/ports/click-log.ts";
import type { SpoolProgress } from "../../actors/spill/spool-drainer.ts";
import { assertChecksum, withChecksum } from "../lib/checked-file.ts";
import type { Program } from "../lib/program.ts";

const FILE_DEADLINE_MS = 2_000;
const FILE_POLL_MS = 60_000;
const MIB = 1024 * 1024;
/** A drained spool still takes its last segment: this much, or its share of a small one. */
const SEGMENT_BYTES = 16 * MIB;
const SEGMENTS_AT_LEAST = 8;
const TOPIC = "clicks-spill";

export interface Spool {
  readonly log: ClickLog;
  readonly progress: SpoolProgress;
  /** Bytes on disk, and why it takes no more; undefined where it does. */
  usage(): { readonly bytes: number; readonly refusal: string | undefined };
  readonly maxBytes: number;
}

type SpoolConfig = { readonly dataDir: string; readonly spoolMaxMib: number };

/** @throws DATA_DIR_IN_USE, LOG_CORRUPT, CONFIG_INVALID */
export async function openSpool(program: Program<SpoolConfig>): Promise<Spool> {
  const { clock, config, life, limits, logger } = program;
  const maxBytes = config.spoolMaxMib * MIB;
  const log = await openFileLog({
    dir: path.join(config.dataDir, "spool"),
    limits: { ...limits, logSegmentBytes: Math.min(SEGMENT_BYTES, maxBytes / SEGMENTS_AT_LEAST) },
    maxBytes,
    clock,
    logger,
  });
  life.onStop("the spool", () => log.close());
  life.check(() => {
    const { refusal } = log.usage();
    return refusal === undefined ? [] : [`the spool takes no clicks: ${refusal}`];
  });
  const file = path.join(config.dataDir, "spool-progress.json");
  const options = { path: file, pollMs: FILE_POLL_MS, deadlineMs: FILE_DEADLINE_MS, clock, logger };
  const document = createFileSharedState(options);
  const release = async (drained: ReadonlyMap<number, number>): Promise<void> => {
    await log.release(TOPIC, drained).catch((error: unknown) => {
      logger.error({ error: messageOf(error) }, "drained segments of the spool stay on disk");
    });
  };
  return {
    log: log.topic(TOPIC),
    maxBytes,
    usage: () => log.usage(),
    progress: {
      async load() {
        const drained = decodeProgress(file, await document.read());
        await release(drained);
        return drained;
      },
      async save(drained) {
        await document.publish(withChecksum(JSON.stringify(Object.fromEntries(drained))));
        await release(drained);
      },
    },
  };
}

/** {"3":17}: of shard 3's spooled blocks the first 17 are drained. */
export function decodeProgress(file: string, text: string | undefined): ReadonlyMap<number, number> {
  if (text === undefined) return new Map();
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  try {
    assertChecksum(file, text);
    const { crc32: _checked, ...entries } = JSON.parse(text) as Record<string, unknown>;
    return new Map(
      Object.entries(entries).map(([shard, offset]) => {
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
