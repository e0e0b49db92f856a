/**
 * Copies the catalogue's changes into ClickHouse's table `ads`, so that queries there can name
 * what they count. Runs beside one catalogue; `cmd/` starts it.
 *
 *  V1 Every change of the catalogue arrives, the newest state of each ad at the last.
 *  V2 Progress is recorded after its rows; a crash in between sends them again, which the table's
 *     version makes a no-op.
 *  V3 Progress belongs to one catalogue, by its identity. One that was wiped has another, and one
 *     that was put back from a copy is behind its own progress: both are copied from the start. So
 *     is one that is exchanged while this runs (rocksdb/catalogue-replica.ts), or whose folder was lost.
 *  V4 What is inserted later has the later time, whatever the clock does: it is the rows' version.
 *  V5 One insert at a time, of at most `adsProjectBatchAds`; the catalogue is read in parts that
 *     leave other work its turn; failures back off.
 */
import { AdtallyError, messageOf } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { Ad } from "../../ports/catalogue.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import { nextTurn } from "../../runtime/turn.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";

/** What the RocksDB catalogue tells of its changes. */
export interface AdChanges {
  readonly identity: string;
  lastSequence(): number;
  changesSince(sequence: number, limit: number): readonly { readonly sequence: number; readonly ad: Ad }[];
}

export interface AdsProjectorOptions {
  readonly changes: AdChanges;
  readonly clickhouse: ClickHouse;
  readonly limits: Pick<Limits, "adsProjectBatchAds" | "adsProjectIntervalMs" | "importBatchAds">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface AdsProjector {
  /** The catalogue's sequence up to which everything is in the table. */
  progress(): number;
  /** Copies all that the catalogue holds now. @throws COUNT_SINK_UNAVAILABLE, CATALOGUE_UNAVAILABLE */
  drain(): Promise<void>;
  /** Ends after the insert under way. */
  stop(): Promise<void>;
}

const BACKOFF_LAST_MS = 10_000;
const INSERT_ADS = `INSERT INTO ${DATABASE}.ads (ad_id, campaign_id, advertiser_id, title, destination_url, updated_at) FORMAT RowBinary`;
const PROGRESS = `${DATABASE}.ads_projection_progress`;

interface Begin {
  readonly sequence: number;
  readonly newestMs: number;
}

async function readBegin(clickhouse: ClickHouse, identity: string): Promise<Begin> {
  const [found] = await clickhouse.rows<{ sequence: string; newest: string }>(
    `SELECT argMaxIf(sequence, updated_at, catalogue = {identity:String}) AS sequence,
            greatest(toUnixTimestamp64Milli(max(updated_at)),
                     (SELECT toUnixTimestamp64Milli(max(updated_at)) FROM ${DATABASE}.ads)) AS newest
     FROM ${PROGRESS}`,
    { identity },
  );
  return { sequence: Number(found?.sequence ?? 0), newestMs: Number(found?.newest ?? 0) };
}

/** @throws COUNT_SINK_UNAVAILABLE, where ClickHouse does not say how far it is */
export async function startAdsProjector(options: AdsProjectorOptions): Promise<AdsProjector> {
  const { changes, clickhouse, limits, clock, logger } = options;
  let identity = "";
  let newestMs = 0;
  let progress = 0;

  /** V3 */
  async function begin(): Promise<void> {
    const now = changes.identity;
    const found = await readBegin(clickhouse, now);
    newestMs = Math.max(newestMs, found.newestMs);
    progress = found.sequence;
    if (progress > changes.lastSequence()) {
      const fields = { progress, lastSequence: changes.lastSequence() };
      logger.warn(fields, "the catalogue is older than its copy in ClickHouse: copying all of it again");
      progress = 0;
    }
    identity = now;
  }
  await begin();
  let isStopped = false;
  let underWay: Promise<boolean> | undefined;
  let wake: (() => void) | undefined;

  /** V4 */
  function stamp(): number {
    newestMs = Math.max(clock.now(), newestMs + 1);
    return newestMs;
  }

  /** True when there is more than one insert takes. */
  async function projectOnce(): Promise<boolean> {
    if (changes.identity !== identity) await begin();
    const rows: Buffer[] = [];
    const updatedMs = stamp();
    let to = progress;
    while (rows.length < limits.adsProjectBatchAds) {
      const part = changes.changesSince(to, limits.importBatchAds);
      if (part.length === 0) break;
      for (const { ad } of part) rows.push(encodeRow(ad, updatedMs));
      to = part.at(-1)!.sequence;
      await nextTurn();
    }
    if (rows.length === 0) return false;
    await clickhouse.insertBytes(INSERT_ADS, [Buffer.concat(rows)]);
    // V2: in memory at once, so that a failed record of it does not send the rows again.
    progress = to;
    await clickhouse.command(
      `INSERT INTO ${PROGRESS} (catalogue, sequence, updated_at)
       SELECT {identity:String}, {to:UInt64}, fromUnixTimestamp64Milli({updatedMs:Int64}, 'UTC')`,
      { identity, to, updatedMs },
    );
    return rows.length >= limits.adsProjectBatchAds;
  }

  /** One at a time, whoever asks (V5). */
  async function step(): Promise<boolean> {
    while (underWay !== undefined) await underWay.catch(() => undefined);
    underWay = projectOnce();
    try {
      return await underWay;
    } finally {
      underWay = undefined;
    }
  }

  function pause(delayMs: number): Promise<void> {
    if (isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = clock.after(delayMs, resolve);
      wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  async function loop(): Promise<void> {
    let backoffMs = limits.adsProjectIntervalMs;
    let isBehind = true;
    while (!isStopped) {
      try {
        isBehind = await step();
        backoffMs = limits.adsProjectIntervalMs;
      } catch (error) {
        isBehind = false;
        backoffMs = Math.min(backoffMs * 2, BACKOFF_LAST_MS);
        logger.warn({ error: messageOf(error), retryInMs: backoffMs }, "ads not copied; trying again");
      }
      if (!isBehind) await pause(backoffMs);
    }
  }
  const looping = loop();

  return {
    progress: () => progress,
    async drain() {
      const target = changes.lastSequence();
      while (progress < target) {
        if (isStopped) throw new AdtallyError("ABORTED", "the ads projector has stopped");
        await step();
      }
    },
    async stop() {
      isStopped = true;
      wake?.();
      await looping;
      await underWay?.catch(() => undefined);
    },
  };
}

function encodeRow(ad: Ad, updatedMs: number): Buffer {
  const title = Buffer.from(ad.title);
  const url = Buffer.from(ad.destinationUrl);
  const row = Buffer.allocUnsafe(8 * 4 + 10 + title.length + url.length);
  let at = row.writeBigUInt64LE(ad.adId, 0);
  at = row.writeBigUInt64LE(ad.campaignId, at);
  at = row.writeBigUInt64LE(ad.advertiserId, at);
  for (const text of [title, url]) {
    at = writeLength(row, at, text.length);
    at += text.copy(row, at);
  }
  at = row.writeBigInt64LE(BigInt(updatedMs), at);
  return row.subarray(0, at);
}

/** RowBinary's length of a string: LEB128. */
function writeLength(row: Buffer, from: number, length: number): number {
  let at = from;
  let rest = length;
  for (; rest >= 0x80; rest >>>= 7) row[at++] = (rest & 0x7f) | 0x80;
  row[at++] = rest;
  return at;
}
