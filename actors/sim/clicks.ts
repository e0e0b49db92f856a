/** Clicks for simulations and tests: rows as a gateway would write them. */
import { rowBytes, writeRow } from "../block/row.ts";
import { Reason, Source, Verdict } from "../core/verdict.ts";

export interface SimClick {
  /** 16 bytes, UUIDv7. */
  readonly id: Buffer;
  readonly adId: number;
  readonly clickMs: number;
  readonly receivedMs: number;
  readonly verdict?: number;
  readonly reason?: number;
  readonly userAgent?: string;
}

/** A UUIDv7 of the given time, from 10 bytes of randomness. */
export function uuidV7(timeMs: number, random: Buffer): Buffer {
  const id = Buffer.alloc(16);
  id.writeUIntBE(timeMs, 0, 6);
  random.copy(id, 6, 0, 10);
  id[6] = (id[6]! & 0x0f) | 0x70;
  id[8] = (id[8]! & 0x3f) | 0x80;
  return id;
}

export function rowsOf(clicks: readonly SimClick[], shard: number): Buffer {
  const agents = clicks.map((click) => Buffer.from(click.userAgent ?? ""));
  const rows = Buffer.alloc(agents.reduce((sum, agent) => sum + rowBytes(agent.length), 0));
  let at = 0;
  clicks.forEach((click, index) => {
    at = writeRow(rows, at, {
      impressionId: click.id,
      impressionIdAt: 0,
      adHigh: 0,
      adLow: click.adId,
      campaignHigh: 0,
      campaignLow: Math.floor(click.adId / 10),
      advertiserHigh: 0,
      advertiserLow: Math.floor(click.adId / 100),
      clickTimeMs: click.clickMs,
      receivedTimeMs: click.receivedMs,
      ip: new Uint8Array(0),
      generation: 1,
      shard,
      source: Source.HTTP,
      verdict: click.verdict ?? Verdict.UNDECIDED,
      reason: click.reason ?? Reason.NONE,
      userAgent: agents[index]!,
    });
  });
  return rows;
}
