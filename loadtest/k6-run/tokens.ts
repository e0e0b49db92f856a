/** The tokens that a run clicks, issued by the target as a page gets them, in a file for k6. */
import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { TOKEN_TEXT_LENGTH } from "../../actors/token/token.ts";
import { callJson, type TestAd } from "../lib/ads.ts";
import type { TokenGroup } from "./scenarios.ts";

const MOST_A_CALL = 10_000;
const AT_ONCE = 4;

interface Issued {
  readonly impressions: readonly { readonly token: string }[];
}

async function issue(url: string, adId: bigint, count: number): Promise<string[]> {
  const tokens: string[] = [];
  while (tokens.length < count) {
    const body = { ad_id: String(adId), count: Math.min(MOST_A_CALL, count - tokens.length) };
    const { impressions } = await callJson<Issued>(`${url}/v1/impressions`, body);
    for (const { token } of impressions) tokens.push(token);
  }
  return tokens;
}

const HOT_SHARE = 0.8;

/** How many tokens of each ad make up a group. */
function amounts({ count, hotAd }: TokenGroup, ads: readonly TestAd[]): number[] {
  const hot = hotAd === undefined ? 0 : Math.ceil(count * HOT_SHARE);
  const each = Math.ceil((count - hot) / ads.length);
  return ads.map(({ adId }) => each + (adId === hotAd ? hot : 0));
}

/** Mixed so that any stretch of them has the group's shares: each ad's tokens lie evenly over the whole. */
function mixed(byAd: readonly (readonly string[])[]): string[] {
  const placed = byAd.flatMap((tokens, ad) =>
    tokens.map((token, i) => ({ at: (i + (ad + 0.5) / byAd.length) / tokens.length, token })),
  );
  return placed.sort((a, b) => a.at - b.at).map(({ token }) => token);
}

/** Writes the groups' tokens as a module that k6/lib/traffic.ts takes: one text, each as long as the others. */
export async function writeTokens(
  file: string,
  url: string,
  ads: readonly TestAd[],
  groups: readonly TokenGroup[],
): Promise<void> {
  const out = createWriteStream(file);
  out.write(`export const tokenLength = ${TOKEN_TEXT_LENGTH};\nexport const tokens = "`);
  for (const group of groups) {
    const wanted = amounts(group, ads);
    const byAd: string[][] = [];
    for (let i = 0; i < ads.length; i += AT_ONCE) {
      const some = ads.slice(i, i + AT_ONCE);
      byAd.push(...(await Promise.all(some.map(({ adId }, k) => issue(url, adId, wanted[i + k]!)))));
    }
    for (const token of mixed(byAd).slice(0, group.count)) {
      if (!out.write(token)) await once(out, "drain");
    }
  }
  out.end('";\n');
  await once(out, "close");
}
