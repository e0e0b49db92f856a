/** What the tests of the intake share: a table of two generations, a few ads, and clicks to make. */
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { tableOf } from "../routing/table.ts";
import { createTokenCodec } from "../token/token.ts";
import { createIntake } from "./intake.ts";
import { createRawClick, resetRawClick } from "./raw-click.ts";
import { RowGather } from "./row-gather.ts";
import type { IdKey } from "../core/ids.ts";
import type { Generation } from "../routing/generation.ts";
import type { AdOwner, Intake, Taking } from "./intake.ts";
import type { RawClick } from "./raw-click.ts";

export const limits = DEFAULT_LIMITS;
export const NOW = Date.UTC(2026, 10, 21, 12);
/** Where the second generation takes force. */
export const CHANGE = NOW - 60_000;

const generations: Generation[] = [
  { number: 1, inForceFromMs: 0, shardCount: 4, splits: new Map() },
  { number: 2, inForceFromMs: CHANGE, shardCount: 64, splits: new Map([[1001, 8]]) },
];
export const table = tableOf(generations, NOW);

export const codec = await createTokenCodec({
  signingKeyId: 1,
  keys: new Map([[1, new Uint8Array(32).fill(9)]]),
});

export const ADS: ReadonlyMap<IdKey, AdOwner> = new Map<IdKey, AdOwner>([
  [1001, { campaignId: 77n, advertiserId: 0xffff_ffff_ffff_fffen }],
  [2n ** 64n - 1n, { campaignId: 1n << 40n, advertiserId: 3n }],
]);

export function uuidAt(ms: number, tail = 1): Buffer {
  const id = Buffer.alloc(16);
  id.writeUIntBE(ms, 0, 6);
  id[6] = 0x7a;
  id[8] = 0x8b;
  id.writeUInt32BE(tail, 12);
  return id;
}

export interface ClickParts {
  readonly token?: Uint8Array;
  readonly clickId?: Uint8Array;
  readonly adId?: bigint;
  readonly clickedAtMs?: number;
  readonly ip?: Uint8Array;
  readonly userAgent?: Uint8Array;
  readonly overHttp?: boolean;
}

/** A raw click as a decoder leaves it: its fields side by side in one buffer. */
export function rawClick(parts: ClickParts): RawClick {
  const click = createRawClick();
  const none = new Uint8Array(0);
  const { token = none, clickId = none, ip = none, userAgent = none } = parts;
  resetRawClick(click, Buffer.concat([token, clickId, ip, userAgent]));
  click.tokenLength = token.length;
  click.clickIdAt = token.length;
  click.clickIdLength = clickId.length;
  click.ipAt = click.clickIdAt + clickId.length;
  click.ipLength = ip.length;
  click.userAgentAt = click.ipAt + ip.length;
  click.userAgentLength = userAgent.length;
  click.adHigh = Number((parts.adId ?? 0n) >> 32n);
  click.adLow = Number((parts.adId ?? 0n) & 0xffff_ffffn);
  click.clickedAtMs = parts.clickedAtMs ?? 0;
  click.overHttp = parts.overHttp ?? false;
  return click;
}

export function tokenAt(impressionMs: number, adId = 1001n, generation = 1): Buffer {
  return codec.sign(generation, adId, uuidAt(impressionMs));
}

export function openIntake(
  ads = ADS,
  routing = table,
  isClockOff = () => false,
): { intake: Intake<AdOwner>; taking: Taking<AdOwner> & { gather: RowGather } } {
  const intake = createIntake({
    codec,
    routing: () => routing,
    peek: (key) => ads.get(key),
    limits,
    isClockOff,
  });
  const gather = new RowGather(limits);
  return { intake, taking: { receivedAtMs: NOW, trusted: true, gather, loaded: undefined } };
}
