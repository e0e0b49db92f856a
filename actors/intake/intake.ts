/**
 * Intake: the gateway's part of a click's judgement. One click as it came off the wire becomes
 * either a row for the shard that decides on it, or an outcome of its own. Pure: no I/O, no
 * clock, no allocation that a click could do without. Every protocol's server goes through it.
 *
 *  N1 A row is written only for a click whose token verified, or whose click id came from a
 *     trusted client, of an ad that the catalogue has.
 *  N2 A click is routed by the generation of its impression alone: the one its token pins, or
 *     the one in force at its click id's timestamp. Without that generation it is refused; but a
 *     browser's, which cannot try again, is kept for later routing where there is a place for it
 *     (spill/unrouted.ts).
 *  N3 An expired impression still gets a row, preset EXPIRED, so that the shard dead-letters it.
 *     One that no replay could count any more goes by the newest generation: the shards of its
 *     own may have been let go (shardsInUse), its number given to another, and it has no copy to meet.
 *  N4 Whether a click is late, repeated or bad traffic is not judged here.
 *  N5 An ad that is not in memory is no verdict: the click is AD_MISSING, and is taken again
 *     once the catalogue has been asked.
 *  N6 While this gateway's clock is known to be wrong, nothing is handed on: a click stamped by it
 *     would be counted in a minute that was not its own.
 */
import { rowBytes, writeRow } from "../block/row.ts";
import { idKey, isUuidV7, uuidV7Ms } from "../core/ids.ts";
import { Reason, Source, Verdict } from "../core/verdict.ts";
import { route } from "../routing/generation.ts";
import { generationAt } from "../routing/table.ts";
import { judgeAge } from "../token/expiry.ts";
import { TOKEN_BYTES, TOKEN_TEXT_LENGTH, TokenAt } from "../token/token.ts";
import type { ClickFields } from "../block/row.ts";
import type { IdKey } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import type { Generation } from "../routing/generation.ts";
import type { RoutingTable } from "../routing/table.ts";
import type { TokenCodec } from "../token/token.ts";
import type { RawClick } from "./raw-click.ts";
import type { RowGather } from "./row-gather.ts";

/** Whose an ad is, as the catalogue knows it. */
export interface AdOwner {
  readonly campaignId: bigint;
  readonly advertiserId: bigint;
}

/**
 * What became of a click at the gateway: HANDED_ON (a row was written, the shard decides),
 * AD_MISSING (N5), or `verdict << 8 | reason`.
 */
export type Outcome = number;
export const HANDED_ON: Outcome = 0;
export const AD_MISSING: Outcome = -1;

export const outcomeVerdict = (outcome: Outcome): number => outcome >>> 8;
export const outcomeReason = (outcome: Outcome): number => outcome & 0xff;

export interface IntakeDeps<A extends AdOwner> {
  readonly codec: TokenCodec;
  readonly routing: () => RoutingTable;
  /** From memory alone: Catalogue.peek. */
  readonly peek: (adId: IdKey) => A | undefined;
  readonly limits: Limits;
  /** The gather's lane of clicks whose generation is not known; without one they are refused. */
  readonly unroutedLane?: number;
  /** Whether this gateway's clock is known to be wrong (N6). */
  readonly isClockOff?: () => boolean;
}

export interface Taking<A extends AdOwner> {
  readonly receivedAtMs: number;
  /** The client may bring click ids in place of tokens. */
  readonly trusted: boolean;
  /** Where rows go; undefined judges a click without handing it on (a prefetch). */
  readonly gather: RowGather | undefined;
  /** What the catalogue answered for the ads that were missing: ads not in it do not exist. */
  readonly loaded: ReadonlyMap<IdKey, A> | undefined;
}

export interface Intake<A extends AdOwner> {
  /** Judges one click; `index` comes back with its row's part. */
  take(click: RawClick, taking: Taking<A>, index: number): Outcome;
  /** The ad of the click last taken, unless its outcome was AD_MISSING or came before the ad. */
  ad(): A | undefined;
  /** Key of the ad of the click last taken: what to load after AD_MISSING. */
  adKey(): IdKey;
}

/** What stands in a row until it is routed. */
const NO_SHARD = 0xffff;
const NO_BYTES = new Uint8Array(0);
/** Two ids and their 32-bit halves: BigInt's own shifts would make four objects a click. */
const ownerIds = new BigUint64Array(2);
const ownerWords = new Uint32Array(ownerIds.buffer);
const LOW = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 0 : 1;
const HIGH = 1 - LOW;

const outcome = (verdict: number, reason: number): Outcome => (verdict << 8) | reason;
const UNKNOWN_AD = outcome(Verdict.UNKNOWN_AD, Reason.AD_NOT_IN_CATALOGUE);
const refused = (reason: number): Outcome => outcome(Verdict.REFUSED, reason);

export function createIntake<A extends AdOwner>(deps: IntakeDeps<A>): Intake<A> {
  const { codec, routing, peek, limits, unroutedLane, isClockOff = () => false } = deps;
  const token = Buffer.alloc(TOKEN_BYTES);
  const tokenText = Buffer.alloc(TOKEN_TEXT_LENGTH);
  const clickId = Buffer.alloc(16);
  const ip = Buffer.alloc(16);
  const fields: ClickFields = {
    impressionId: token,
    impressionIdAt: TokenAt.impressionId,
    adHigh: 0,
    adLow: 0,
    campaignHigh: 0,
    campaignLow: 0,
    advertiserHigh: 0,
    advertiserLow: 0,
    clickTimeMs: 0,
    receivedTimeMs: 0,
    ip: NO_BYTES,
    generation: 0,
    shard: 0,
    source: Source.HTTP,
    verdict: Verdict.UNDECIDED,
    reason: Reason.NONE,
    userAgent: NO_BYTES,
  };
  let ad: A | undefined;
  let key: IdKey = 0;
  let generation: Generation | undefined;

  /** Fills the impression, the ad and the generation from a token. */
  function readToken(click: RawClick): Outcome {
    const reason = copyToken(click);
    if (reason !== Reason.NONE) return outcome(Verdict.BAD_SIGNATURE, reason);
    const forged = codec.verify(token);
    if (forged !== Reason.NONE) return outcome(Verdict.BAD_SIGNATURE, forged);
    fields.impressionId = token;
    fields.impressionIdAt = TokenAt.impressionId;
    fields.adHigh = token.readUInt32BE(TokenAt.adId);
    fields.adLow = token.readUInt32BE(TokenAt.adId + 4);
    fields.source = click.overHttp ? Source.HTTP : Source.GRPC_TOKEN;
    generation = routing().generations.get(token.readUInt16BE(TokenAt.generation));
    return HANDED_ON;
  }

  function copyToken(click: RawClick): number {
    const { bytes, tokenAt } = click;
    if (click.tokenLength === TOKEN_BYTES) {
      for (let i = 0; i < TOKEN_BYTES; i++) token[i] = bytes[tokenAt + i]!;
      return Reason.NONE;
    }
    if (click.tokenLength !== TOKEN_TEXT_LENGTH) return Reason.TOKEN_MALFORMED;
    for (let i = 0; i < TOKEN_TEXT_LENGTH; i++) tokenText[i] = bytes[tokenAt + i]!;
    return codec.decodeAscii(tokenText, token);
  }

  /** Fills the impression and the ad from a trusted client's click id. */
  function readClickId(click: RawClick, trusted: boolean): Outcome {
    if (!trusted) return refused(Reason.CLIENT_NOT_TRUSTED);
    if (click.clickIdLength !== 16 || !isUuidV7(click.bytes, click.clickIdAt)) {
      return refused(Reason.CLICK_ID_NOT_UUIDV7);
    }
    if (click.adHigh === 0 && click.adLow === 0) return refused(Reason.AD_ID_MISSING);
    for (let i = 0; i < 16; i++) clickId[i] = click.bytes[click.clickIdAt + i]!;
    fields.impressionId = clickId;
    fields.impressionIdAt = 0;
    fields.adHigh = click.adHigh;
    fields.adLow = click.adLow;
    fields.source = Source.GRPC_CLICK_ID;
    return HANDED_ON;
  }

  function readImpression(click: RawClick, trusted: boolean): Outcome {
    if (click.tokenLength > 0) {
      return click.clickIdLength > 0 ? refused(Reason.TOKEN_AND_CLICK_ID) : readToken(click);
    }
    return click.clickIdLength > 0 ? readClickId(click, trusted) : refused(Reason.CLICK_ID_MISSING);
  }

  /** Whether nothing remembers the impression: the same line as shardsInUse draws. */
  function isForgotten(impressionMs: number, receivedAtMs: number): boolean {
    return impressionMs < receivedAtMs - limits.tokenLifeMs - limits.dedupRetentionMs - limits.clockSkewMs;
  }

  /** Fills click time, preset verdict and generation. */
  function judgeTimes(click: RawClick, receivedAtMs: number): Outcome {
    const impressionMs = uuidV7Ms(fields.impressionId, fields.impressionIdAt);
    const age = judgeAge(impressionMs, receivedAtMs, limits);
    if (age === "in-future") return refused(Reason.IMPRESSION_IN_FUTURE);
    const clickTimeMs = click.clickedAtMs === 0 ? receivedAtMs : click.clickedAtMs;
    if (clickTimeMs > receivedAtMs + limits.clockSkewMs) return refused(Reason.CLICK_TIME_IN_FUTURE);
    if (clickTimeMs < impressionMs - limits.clockSkewMs) return refused(Reason.CLICK_BEFORE_IMPRESSION);
    const byId = fields.source === Source.GRPC_CLICK_ID;
    if (byId) {
      const found = generationAt(routing(), impressionMs, receivedAtMs, limits);
      if (found === "ROUTING_TABLE_STALE") return refused(Reason.ROUTING_TABLE_STALE);
      generation = found === "NO_GENERATION" ? undefined : found;
    }
    const expired = age === "expired";
    if (expired && isForgotten(impressionMs, receivedAtMs)) generation = routing().newestFirst[0];
    if (generation === undefined && (!click.overHttp || unroutedLane === undefined)) {
      return refused(Reason.GENERATION_UNKNOWN);
    }
    fields.clickTimeMs = clickTimeMs;
    fields.receivedTimeMs = receivedAtMs;
    fields.verdict = expired ? Verdict.EXPIRED : Verdict.UNDECIDED;
    fields.reason = !expired ? Reason.NONE : byId ? Reason.CLICK_ID_EXPIRED : Reason.TOKEN_EXPIRED;
    return HANDED_ON;
  }

  /** False: the address is neither absent nor 4 nor 16 bytes. */
  function readIp(click: RawClick): boolean {
    const { bytes, ipAt, ipLength } = click;
    fields.ip = ip;
    if (ipLength === 4) {
      ip.fill(0, 0, 10);
      ip[10] = ip[11] = 0xff;
      for (let i = 0; i < 4; i++) ip[12 + i] = bytes[ipAt + i]!;
    } else if (ipLength === 16) {
      for (let i = 0; i < 16; i++) ip[i] = bytes[ipAt + i]!;
    } else {
      fields.ip = NO_BYTES;
      return ipLength === 0;
    }
    return true;
  }

  function writeTo(gather: RowGather, click: RawClick, owner: A, index: number): void {
    const id = fields.impressionId as Buffer;
    const at = fields.impressionIdAt;
    if (generation === undefined) fields.generation = token.readUInt16BE(TokenAt.generation);
    else fields.generation = generation.number;
    const shard =
      generation === undefined
        ? NO_SHARD
        : route(
            generation,
            fields.adHigh,
            fields.adLow,
            id.readUInt32BE(at),
            id.readUInt32BE(at + 4),
            id.readUInt32BE(at + 8),
            id.readUInt32BE(at + 12),
          );
    fields.shard = shard;
    ownerIds[0] = owner.campaignId;
    ownerIds[1] = owner.advertiserId;
    fields.campaignHigh = ownerWords[HIGH]!;
    fields.campaignLow = ownerWords[LOW]!;
    fields.advertiserHigh = ownerWords[2 + HIGH]!;
    fields.advertiserLow = ownerWords[2 + LOW]!;
    const agentBytes = keptBytes(click, limits.userAgentMaxBytes);
    fields.userAgent = click.bytes;
    const bytes = rowBytes(agentBytes);
    const lane = gather.reserve(shard === NO_SHARD ? unroutedLane! : shard, bytes, index);
    writeRow(lane.rows, lane.used - bytes, fields, click.userAgentAt, agentBytes);
  }

  return {
    take(click, taking, index) {
      ad = undefined;
      const read = readImpression(click, taking.trusted);
      if (read !== HANDED_ON) return read;
      if (!readIp(click)) return refused(Reason.IP_MALFORMED);
      key = idKey(fields.adHigh, fields.adLow);
      ad = peek(key) ?? taking.loaded?.get(key);
      if (ad === undefined) return taking.loaded === undefined ? AD_MISSING : UNKNOWN_AD;
      const judged = isClockOff()
        ? refused(Reason.GATEWAY_CLOCK_OFF)
        : judgeTimes(click, taking.receivedAtMs);
      if (judged !== HANDED_ON) return judged;
      if (taking.gather !== undefined) writeTo(taking.gather, click, ad, index);
      return HANDED_ON;
    },
    ad: () => ad,
    adKey: () => key,
  };
}

/** How much of the user agent is kept: at most `max` bytes, and no torn UTF-8 sequence at the cut. */
function keptBytes(click: RawClick, max: number): number {
  if (click.userAgentLength <= max) return click.userAgentLength;
  let end = max;
  // The byte behind the cut continues a sequence: step back to where that sequence began.
  while (end > max - 4 && (click.bytes[click.userAgentAt + end]! & 0xc0) === 0x80) end -= 1;
  return end;
}
