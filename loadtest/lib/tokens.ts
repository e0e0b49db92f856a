/**
 * Impressions for a load test: issued by the program, as a page gets them, or signed here with
 * the data folder's own keys, where the time of an impression must lie in the past or where
 * issuing millions would be most of the test.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { formatUuid } from "../../actors/core/ids.ts";
import type { SeededRandom } from "../../actors/sim/random.ts";
import { uuidV7 } from "../../actors/sim/clicks.ts";
import { parseKeyFile } from "../../actors/token/keys.ts";
import { createTokenCodec, TOKEN_BYTES, TokenAt } from "../../actors/token/token.ts";
import { callJson } from "./ads.ts";

const MOST_A_CALL = 10_000;

export interface Impression {
  readonly adId: bigint;
  /** Text of the UUID. */
  readonly id: string;
  /** 44 bytes. */
  readonly token: Buffer;
}

export const tokenText = (token: Buffer): string => token.toString("base64url");

/** Through POST /v1/impressions. */
export async function issueImpressions(url: string, adId: bigint, count: number): Promise<Impression[]> {
  const impressions: Impression[] = [];
  while (impressions.length < count) {
    const body = { ad_id: String(adId), count: Math.min(MOST_A_CALL, count - impressions.length) };
    const answer = await callJson<{ impressions: { impression_id: string; token: string }[] }>(
      `${url}/v1/impressions`,
      body,
    );
    for (const each of answer.impressions) {
      impressions.push({ adId, id: each.impression_id, token: Buffer.from(each.token, "base64url") });
    }
  }
  return impressions;
}

export interface Signer {
  sign(adId: bigint, impressionMs: number, random: Buffer): Impression;
}

/** Signs with the keys of a program's data folder, under its first routing generation. */
export async function createSigner(dataDir: string): Promise<Signer> {
  const keys = parseKeyFile(await readFile(join(dataDir, "token-keys.json"), "utf8"));
  const codec = await createTokenCodec(keys);
  return {
    sign(adId, impressionMs, random) {
      const id = uuidV7(impressionMs, random);
      return { adId, id: formatUuid(id), token: codec.sign(1, adId, id) };
    },
  };
}

/** The token with one bit turned: no longer ours, whichever it is. */
export function forged(token: Buffer, random: SeededRandom): Buffer {
  const copy = Buffer.from(token);
  const bit = random.below(TOKEN_BYTES * 8);
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}

export function impressionIdOf(token: Buffer): string {
  return formatUuid(token, TokenAt.impressionId);
}
