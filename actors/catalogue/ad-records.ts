/**
 * Ads as records of the log `ads`: keys such that compaction cannot change who owns an ad.
 *
 * The rule of the catalogue is that an ad's first owner stays (C2 of ports/catalogue.ts), and a log that keeps
 * only the newest record of each ad would forget who was first: a replica that begins later would
 * see the refused latecomer alone. So there are two kinds of keys:
 *
 *   claim    'c' | ad id u64 | 8 random bytes       what a writer appends that knows of no such ad;
 *                                                   a key that no other record has: it stays for ever
 *   update   'u' | ad id u64 | campaign u64 | advertiser u64
 *                                                   what it appends to an ad that it knows: the
 *                                                   newest by each owner stays
 *
 *  J1 Every claim stays, in its place: so does the first, which decides who owns the ad.
 *  J2 The newest record by the owner stays, claim or update: it is what the ad looks like.
 *  J3 So a replica that reads the compacted log ends as one that has read every record.
 *  J4 A claim that is appended again (its answer was lost) takes a new key: under the old one, the
 *     repeat would let compaction take the first, which may have come before a rival's.
 *
 * An ad costs two records at the most, beside lost races. Nothing is ever removed.
 *
 * Content of a value (integers are big-endian; sealed by replica/seal.ts)
 *   ad id u64 | campaign u64 | advertiser u64 | title bytes u16 | title | destination URL
 */
import { isUtf8 } from "node:buffer";
import type { Ad } from "../ports/catalogue.ts";
import type { KeyedRecord } from "../ports/keyed-log.ts";
import { seal, unseal } from "../replica/seal.ts";
import type { RandomBytes } from "../runtime/clock.ts";

const VERSION = 1;
const CLAIM = 0x63;
const UPDATE = 0x75;
const NONCE_BYTES = 8;
const At = { adId: 0, campaign: 8, advertiser: 16, titleBytes: 24, title: 26 } as const;

export function claimRecord(ad: Ad, random: RandomBytes): KeyedRecord {
  const key = Buffer.concat([Buffer.of(CLAIM), Buffer.alloc(8), random(NONCE_BYTES)]);
  key.writeBigUInt64BE(ad.adId, 1);
  return { key, value: encodeAd(ad) };
}

export function updateRecord(ad: Ad): KeyedRecord {
  const key = Buffer.alloc(25, UPDATE);
  key.writeBigUInt64BE(ad.adId, 1);
  key.writeBigUInt64BE(ad.campaignId, 9);
  key.writeBigUInt64BE(ad.advertiserId, 17);
  return { key, value: encodeAd(ad) };
}

function encodeAd(ad: Ad): Buffer {
  const titleBytes = Buffer.byteLength(ad.title);
  const content = Buffer.alloc(At.title + titleBytes + Buffer.byteLength(ad.destinationUrl));
  content.writeBigUInt64BE(ad.adId, At.adId);
  content.writeBigUInt64BE(ad.campaignId, At.campaign);
  content.writeBigUInt64BE(ad.advertiserId, At.advertiser);
  content.writeUInt16BE(titleBytes, At.titleBytes);
  content.write(ad.title, At.title);
  content.write(ad.destinationUrl, At.title + titleBytes);
  return seal(VERSION, content);
}

/** The ad of a record's value, or in words why it is none. */
export function decodeAd(value: Buffer): Ad | string {
  const content = unseal(VERSION, value);
  if (typeof content === "string") return content;
  if (content.length < At.title) return `its content has ${content.length} bytes`;
  const urlAt = At.title + content.readUInt16BE(At.titleBytes);
  if (urlAt > content.length) return "its title is longer than the record";
  if (!isUtf8(content.subarray(At.title))) return "its text is not UTF-8";
  return {
    adId: content.readBigUInt64BE(At.adId),
    campaignId: content.readBigUInt64BE(At.campaign),
    advertiserId: content.readBigUInt64BE(At.advertiser),
    title: content.toString("utf8", At.title, urlAt),
    destinationUrl: content.toString("utf8", urlAt),
  };
}
