/**
 * What a shard tells of a span of its log: valid clicks by ad, as bytes for the Bus. Fixed fields
 * first, then ads, then advertisers with what their ads have beyond those named; little-endian.
 */
import { Buffer } from "node:buffer";
import { idKey, type IdKey } from "../core/ids.ts";

export interface AdClicks {
  readonly adId: IdKey;
  readonly campaignId: IdKey;
  readonly advertiserId: IdKey;
  readonly clicks: number;
}

/** The blocks from `fromOffset` through `throughOffset` of a shard's log, all written within one second. */
export interface LiveDelta {
  readonly shard: number;
  /** Of the owner that tells it, for whoever looks for a fault: offsets alone decide. */
  readonly epoch: number;
  readonly fromOffset: number;
  readonly throughOffset: number;
  /** Seconds since 1970 at which the blocks were written, by their owner's clock. */
  readonly second: number;
  readonly ads: readonly AdClicks[];
  /** Clicks of further ads, by advertiser. */
  readonly advertisers: readonly { readonly advertiserId: IdKey; readonly clicks: number }[];
  /** Clicks of further advertisers. */
  readonly unnamed: number;
}

const VERSION = 1;
const At = {
  shard: 1,
  epoch: 3,
  from: 11,
  through: 19,
  second: 27,
  unnamed: 31,
  ads: 35,
  advertisers: 37,
} as const;
const HEAD_BYTES = 39;
const AD_BYTES = 28;
const ADVERTISER_BYTES = 12;

function readId(bytes: Buffer, at: number): IdKey {
  return idKey(bytes.readUInt32LE(at + 4), bytes.readUInt32LE(at));
}

export function encodeDelta(delta: LiveDelta): Buffer {
  const { ads, advertisers } = delta;
  const bytes = Buffer.alloc(HEAD_BYTES + ads.length * AD_BYTES + advertisers.length * ADVERTISER_BYTES);
  bytes[0] = VERSION;
  bytes.writeUInt16LE(delta.shard, At.shard);
  bytes.writeDoubleLE(delta.epoch, At.epoch);
  bytes.writeDoubleLE(delta.fromOffset, At.from);
  bytes.writeDoubleLE(delta.throughOffset, At.through);
  bytes.writeUInt32LE(delta.second, At.second);
  bytes.writeUInt32LE(delta.unnamed, At.unnamed);
  bytes.writeUInt16LE(ads.length, At.ads);
  bytes.writeUInt16LE(advertisers.length, At.advertisers);
  let at = HEAD_BYTES;
  for (const { adId, campaignId, advertiserId, clicks } of ads) {
    for (const id of [adId, campaignId, advertiserId]) at = bytes.writeBigUInt64LE(BigInt(id), at);
    at = bytes.writeUInt32LE(clicks, at);
  }
  for (const { advertiserId, clicks } of advertisers) {
    at = bytes.writeBigUInt64LE(BigInt(advertiserId), at);
    at = bytes.writeUInt32LE(clicks, at);
  }
  return bytes;
}

/** Undefined for bytes that are none, or of another version. */
export function decodeDelta(message: Uint8Array): LiveDelta | undefined {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  if (bytes.length < HEAD_BYTES || bytes[0] !== VERSION) return undefined;
  const [ads, advertisers] = [bytes.readUInt16LE(At.ads), bytes.readUInt16LE(At.advertisers)];
  const advertisersAt = HEAD_BYTES + ads * AD_BYTES;
  if (bytes.length !== advertisersAt + advertisers * ADVERTISER_BYTES) return undefined;
  return {
    shard: bytes.readUInt16LE(At.shard),
    epoch: bytes.readDoubleLE(At.epoch),
    fromOffset: bytes.readDoubleLE(At.from),
    throughOffset: bytes.readDoubleLE(At.through),
    second: bytes.readUInt32LE(At.second),
    unnamed: bytes.readUInt32LE(At.unnamed),
    ads: Array.from({ length: ads }, (_, index) => {
      const at = HEAD_BYTES + index * AD_BYTES;
      return {
        adId: readId(bytes, at),
        campaignId: readId(bytes, at + 8),
        advertiserId: readId(bytes, at + 16),
        clicks: bytes.readUInt32LE(at + 24),
      };
    }),
    advertisers: Array.from({ length: advertisers }, (_, index) => {
      const at = advertisersAt + index * ADVERTISER_BYTES;
      return { advertiserId: readId(bytes, at), clicks: bytes.readUInt32LE(at + 8) };
    }),
  };
}
