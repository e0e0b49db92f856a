/** The clicks that stream-clicks-cluster.ts sends, in a file for the peer's producer. */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { formatKeyFile, generateKeys } from "../../actors/token/keys.ts";
import { adsToCreate } from "../lib/ads.ts";
import { createClickMaker } from "../lib/clicks.ts";

/** As the peer's Click.java has it: a token of 44 bytes and an IPv4 address. */
const CLICK_BYTES = 48;

export interface ClickFile {
  readonly clicks: string;
  /** Lines of ad, campaign and advertiser. */
  readonly ads: string;
  /** Base64. */
  readonly tokenKey: string;
  /** How many clicks of each stretch are the first of their impression. */
  readonly distinct: readonly number[];
}

export interface ClickFileWanted {
  readonly dir: string;
  readonly stretches: readonly number[];
  readonly ads: number;
  readonly repeats: number;
  readonly seed: number;
}

export async function writeClickFile(wanted: ClickFileWanted): Promise<ClickFile> {
  const { dir, stretches } = wanted;
  const keys = generateKeys(randomBytes);
  await writeFile(join(dir, "token-keys.json"), formatKeyFile(keys));
  const ads = adsToCreate(wanted.ads);
  const files = { clicks: join(dir, "clicks"), ads: join(dir, "ads") };
  const lines = ads.map((ad) => `${ad.adId} ${ad.campaignId} ${ad.advertiserId}\n`);
  await writeFile(files.ads, lines.join(""));
  const adIds = ads.map(({ adId }) => adId);
  const { repeats, seed } = wanted;
  const nextClick = await createClickMaker({ dataDir: dir, adIds, repeats, seed });
  const bytes = Buffer.alloc(stretches.reduce((sum, count) => sum + count, 0) * CLICK_BYTES);
  let at = 0;
  const distinct = stretches.map((count) => {
    let firsts = 0;
    for (let i = 0; i < count; i++, at += CLICK_BYTES) {
      const { token, ip, isRepeat } = nextClick();
      bytes.set(token, at);
      bytes.set(ip, at + token.length);
      if (!isRepeat) firsts += 1;
    }
    return firsts;
  });
  await writeFile(files.clicks, bytes);
  const tokenKey = Buffer.from(keys.keys.get(keys.signingKeyId)!).toString("base64");
  return { ...files, tokenKey, distinct };
}
