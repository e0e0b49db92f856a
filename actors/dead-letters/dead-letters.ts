/**
 * The dead letters: clicks that were LATE or EXPIRED, or REFUSED by a shard, kept with their reason, to be listed,
 * inspected and replayed by a person who knows better than the rule.
 *
 * Invariants:
 *  X1 A replay goes through the click's own shard with the usual dedup: replaying a letter
 *     twice, or one whose impression was counted meanwhile, counts nothing twice.
 *  X2 A letter whose impression is older than ids are remembered is refused by name: the shard
 *     could not tell whether it was counted.
 */
import { stampRow, readImpressionId, readImpressionMs, readTime, rowEnd, RowAt } from "../block/row.ts";
import { AdtallyError } from "../core/errors.ts";
import { formatUuid } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import { Reason, reasonName, Verdict, verdictName } from "../core/verdict.ts";
import type { ClickLog } from "../ports/click-log.ts";
import type { ShardPort } from "../ports/shard-port.ts";
import type { Clock } from "../runtime/clock.ts";

const READ_BYTES = 1024 * 1024;
const ID = /^(0|[1-9]\d{0,4})-(0|[1-9]\d{0,14})-(0|[1-9]\d{0,6})$/;

export interface DeadLetter {
  /** shard-offset-row within the dead letters' topic; also the cursor of a listing. */
  readonly id: string;
  readonly impressionId: string;
  readonly adId: bigint;
  readonly campaignId: bigint;
  readonly advertiserId: bigint;
  readonly verdict: string;
  readonly reason: string;
  readonly clickTimeMs: number;
  readonly receivedTimeMs: number;
  readonly shard: number;
  /** Offset of the click's block in the click log. */
  readonly logOffset: number;
}

export interface Replay {
  readonly id: string;
  readonly verdict: string;
  readonly reason: string;
  readonly shard: number;
  /** Undefined where the click was only deferred. */
  readonly logOffset: number | undefined;
}

interface Position {
  readonly shard: number;
  readonly offset: number;
  readonly row: number;
}

export interface DeadLettersDeps {
  readonly log: ClickLog;
  readonly shardPort: ShardPort;
  readonly shards: readonly number[];
  readonly limits: Limits;
  readonly clock: Clock;
}

export interface DeadLetters {
  /** In order of shard and offset, after the cursor `after` (an id). @throws INPUT_INVALID */
  list(limit: number, after?: string): Promise<readonly DeadLetter[]>;
  /** @throws INPUT_INVALID, NOT_FOUND; X2 as INPUT_INVALID; and what ShardPort.submit throws */
  replay(id: string): Promise<Replay>;
}

export function createDeadLetters({ log, shardPort, shards, limits, clock }: DeadLettersDeps): DeadLetters {
  async function listShard(from: Position, limit: number): Promise<DeadLetter[]> {
    const { earliest, next } = await log.bounds(from.shard);
    const letters: DeadLetter[] = [];
    let offset = Math.max(from.offset, earliest);
    while (letters.length < limit && offset < next) {
      for (const record of await log.read(from.shard, offset, READ_BYTES)) {
        let at = 0;
        for (let row = 0; row < record.header.rowCount && letters.length < limit; row++) {
          const wanted = record.offset > from.offset || row >= from.row;
          const position = { shard: from.shard, offset: record.offset, row };
          if (wanted) letters.push(letterAt(record.value, at, position, record.header.sourceOffset));
          at = rowEnd(record.value, at);
        }
        offset = record.offset + 1;
      }
    }
    return letters;
  }

  async function find({ shard, offset, row }: Position): Promise<Buffer | undefined> {
    if (!shards.includes(shard)) return undefined;
    const { earliest, next } = await log.bounds(shard);
    if (offset < earliest || offset >= next) return undefined;
    const [record] = await log.read(shard, offset, 1);
    if (record === undefined || row >= record.header.rowCount) return undefined;
    let at = 0;
    for (let i = 0; i < row; i++) at = rowEnd(record.value, at);
    return Buffer.from(record.value.subarray(at, rowEnd(record.value, at)));
  }

  return {
    list: async (limit, after) => {
      const cursor = after === undefined ? undefined : parseId(after);
      const letters: DeadLetter[] = [];
      for (const shard of [...shards].sort((a, b) => a - b)) {
        if (letters.length >= limit) break;
        if (cursor !== undefined && shard < cursor.shard) continue;
        const from =
          cursor?.shard === shard ? { ...cursor, row: cursor.row + 1 } : { shard, offset: 0, row: 0 };
        letters.push(...(await listShard(from, limit - letters.length)));
      }
      return letters;
    },

    replay: async (id) => {
      const position = parseId(id);
      const row = await find(position);
      if (row === undefined) throw new AdtallyError("NOT_FOUND", `there is no dead letter ${id}`);
      const oldestMs = clock.now() - limits.dedupRetentionMs + limits.dedupSliceMs;
      if (readImpressionMs(row, 0) < oldestMs) {
        const shown = new Date(readImpressionMs(row, 0)).toISOString();
        const why = `its impression of ${shown} is older than counted ids are remembered (${limits.dedupRetentionMs / 60_000} minutes), so a copy of it could be counted twice`;
        const instead = `GET /v1/clicks/${formatUuid(readImpressionId(row, 0))} says whether the impression was counted; if it was not, settle it outside adtally`;
        throw new AdtallyError(
          "INPUT_INVALID",
          `dead letter ${id} cannot be replayed any more: ${why}. ${instead}`,
        );
      }
      stampRow(row, 0, Verdict.UNDECIDED, Reason.REPLAYED_DEAD_LETTER, 0, 0);
      const { offset, outcomes } = await shardPort.submit({ shard: position.shard, rows: row, count: 1 });
      return {
        id,
        verdict: verdictName(outcomes[0]!),
        reason: reasonName(outcomes[1]!),
        shard: position.shard,
        logOffset: offset,
      };
    },
  };
}

function parseId(id: string): Position {
  const match = ID.exec(id);
  if (match === null) {
    throw new AdtallyError(
      "INPUT_INVALID",
      `"${id}" is no dead letter's id: shard-offset-row, such as 0-17-3`,
    );
  }
  return { shard: Number(match[1]), offset: Number(match[2]), row: Number(match[3]) };
}

function letterAt(rows: Buffer, at: number, position: Position, logOffset: number): DeadLetter {
  return {
    id: `${position.shard}-${position.offset}-${position.row}`,
    impressionId: formatUuid(readImpressionId(rows, at)),
    adId: rows.readBigUInt64LE(at + RowAt.adId),
    campaignId: rows.readBigUInt64LE(at + RowAt.campaignId),
    advertiserId: rows.readBigUInt64LE(at + RowAt.advertiserId),
    verdict: verdictName(rows[at + RowAt.verdict]!),
    reason: reasonName(rows[at + RowAt.reason]!),
    clickTimeMs: readTime(rows, at + RowAt.clickTime),
    receivedTimeMs: readTime(rows, at + RowAt.receivedTime),
    shard: position.shard,
    logOffset,
  };
}
