/**
 * Keys and values of the RocksDB catalogue, as bytes.
 *
 * Keys                          Values
 *   'a' + ad id, u64 BE         version u8 | campaign u64 | advertiser u64 | sequence u48 |
 *                               title bytes u16 | title | destination URL
 *   'c' + sequence, u64 BE      ad id, u64 BE
 *   'i'                         16 bytes: the catalogue's identity
 *   'o'                         of a replica, the key of the log's first record
 *   'p'                         offset u64 BE: of a replica, the log's offset to go on with
 *   'w'                         empty: a replica that has been at its log's end once
 */
import { AdtallyError } from "../../core/errors.ts";
import type { IdKey } from "../../core/ids.ts";
import type { Ad } from "../../ports/catalogue.ts";

const AD_PREFIX = 0x61;
export const CHANGE_PREFIX = 0x63;
export const IDENTITY_KEY = Buffer.from("i");
export const ORIGIN_KEY = Buffer.from("o");
export const PROGRESS_KEY = Buffer.from("p");
export const WHOLE_KEY = Buffer.from("w");
const KEY_BYTES = 9;
const VALUE_VERSION = 1;
const At = { version: 0, campaign: 1, advertiser: 9, sequence: 17, titleBytes: 23, title: 25 } as const;

export interface Stored {
  readonly ad: Ad;
  readonly sequence: number;
}

export function adKeyBytes(key: IdKey): Buffer {
  const bytes = Buffer.allocUnsafe(KEY_BYTES);
  bytes[0] = AD_PREFIX;
  if (typeof key === "number") {
    bytes.writeUInt32BE(Math.floor(key / 4_294_967_296), 1);
    bytes.writeUInt32BE(key >>> 0, 5);
  } else {
    bytes.writeBigUInt64BE(key, 1);
  }
  return bytes;
}

export function changeKeyBytes(sequence: number): Buffer {
  const bytes = Buffer.allocUnsafe(KEY_BYTES);
  bytes[0] = CHANGE_PREFIX;
  bytes.writeUInt16BE(0, 1);
  bytes.writeUIntBE(sequence, 3, 6);
  return bytes;
}

export function encode(ad: Ad, sequence: number): Buffer {
  const titleBytes = Buffer.byteLength(ad.title);
  const value = Buffer.allocUnsafe(At.title + titleBytes + Buffer.byteLength(ad.destinationUrl));
  value[At.version] = VALUE_VERSION;
  value.writeBigUInt64BE(ad.campaignId, At.campaign);
  value.writeBigUInt64BE(ad.advertiserId, At.advertiser);
  value.writeUIntBE(sequence, At.sequence, 6);
  value.writeUInt16BE(titleBytes, At.titleBytes);
  value.write(ad.title, At.title);
  value.write(ad.destinationUrl, At.title + titleBytes);
  return value;
}

export function decode(key: IdKey, value: Buffer): Stored {
  if (value[At.version] !== VALUE_VERSION || value.length < At.title) {
    throw new AdtallyError(
      "CATALOGUE_UNAVAILABLE",
      `catalogue: ad ${key} is stored in version ${value[At.version]}, and this program reads version ` +
        `${VALUE_VERSION}: start the newer program`,
    );
  }
  const urlAt = At.title + value.readUInt16BE(At.titleBytes);
  return {
    sequence: value.readUIntBE(At.sequence, 6),
    ad: {
      adId: BigInt(key),
      campaignId: value.readBigUInt64BE(At.campaign),
      advertiserId: value.readBigUInt64BE(At.advertiser),
      destinationUrl: value.toString("utf8", urlAt),
      title: value.toString("utf8", At.title, urlAt),
    },
  };
}
