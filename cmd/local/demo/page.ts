/**
 * The demo's two pages as text. Everything is inline and nothing comes from elsewhere; style and
 * script are the same for every load, so the content policy names them by their hashes.
 */
import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { DEMO_ADS, type DemoAd } from "./ads.ts";

const style = readFileSync(new URL("style.css", import.meta.url), "utf8");
const script = readFileSync(new URL("client.js", import.meta.url), "utf8");
const sha256 = (text: string) => `'sha256-${hash("sha256", text, "base64")}'`;

export const DEMO_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/html; charset=utf-8",
  "cache-control": "no-store",
  "content-security-policy":
    `default-src 'none'; script-src ${sha256(script)}; style-src ${sha256(style)}; connect-src 'self'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

export interface DemoImpression {
  readonly token: string;
  readonly impressionId: string;
}

/** The tokens of one ad for one load of the page. */
export interface DemoTokens {
  readonly live: DemoImpression;
  readonly expired: string;
}

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const esc = (text: string) => text.replace(/[&<>"']/g, (character) => escapes[character]!);

const TRIES: readonly (readonly [name: string, label: string, explained: string])[] = [
  ["fresh", "Show the ad again", "A new impression with a token of its own. Its first click counts."],
  ["again", "Click the same token twice", "One impression is one click, however often it is sent."],
  [
    "burst",
    "Send 20 copies at once",
    "All copies of a click meet at one actor, which decides on them in order.",
  ],
  ["forged", "Forge the signature", "One bit of the signature differs: 400, and nothing is kept."],
  ["moved", "Move the token to another ad", "The ad's id is signed too, so a token works for its ad alone."],
  [
    "expired",
    "Use an expired token",
    "A good signature, but past its two hours: the user is redirected, the click is a dead letter.",
  ],
  ["head", "Look as a robot does", "HEAD requests and prefetches are answered and never counted."],
];

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${esc(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}

const drawingOf = (ad: DemoAd) =>
  `<svg class="drawing" viewBox="-1 0 50 32" aria-hidden="true"><path d="${ad.drawing}"/></svg>`;

function card(ad: DemoAd, tokens: DemoTokens): string {
  return `<li class="ad of-${ad.advertiserId}" data-ad="${ad.adId}" data-token="${tokens.live.token}" data-expired="${tokens.expired}">
<a class="creative" href="/click?i=${tokens.live.token}" target="_blank" rel="noopener">
${drawingOf(ad)}
<strong>${esc(ad.title)}</strong>
<span>${esc(ad.line)}</span>
</a>
<div class="facts">
<p class="count"><output aria-label="clicks counted for ad ${ad.adId} in the last hour">–</output> <span>counted</span></p>
<p class="small">Ad ${ad.adId} of ${esc(ad.advertiser)}, campaign ${ad.campaignId} ·
<a href="/?ad=${ad.adId}">its clicks</a> · <a class="explain" href="/?click=${tokens.live.impressionId}">explain this one</a></p>
<details name="tries">
<summary>Try to cheat</summary>
<div class="tries">
${TRIES.map(([name, label]) => `<button type="button" data-try="${name}">${label}</button>`).join("\n")}
</div>
</details>
</div>
</li>`;
}

export function demoPage(tokensOf: (ad: DemoAd) => DemoTokens): string {
  return page(
    "adtally demo",
    `<h1>Click an ad. See it counted, once.</h1>
<p class="lead">Each ad below carries a signed impression, made when this page was loaded. Its click is redirected to a
page on this machine, and shows in the advertiser's <a href="/">dashboard</a> within a second. The numbers are those of the
last hour, read from <code>GET /v1/reports/clicks</code> each second.</p>
<h2>The ads</h2>
<ul class="ads">
${DEMO_ADS.map((ad) => card(ad, tokensOf(ad))).join("\n")}
</ul>
<p class="said" role="status"></p>
<h2>What the buttons try</h2>
<dl>
${TRIES.map(([, label, explained]) => `<dt>${label}</dt><dd>${explained}</dd>`).join("\n")}
</dl>
<p class="small">The API itself: <a href="/openapi.json">openapi.json</a> · <a href="/metrics">metrics</a> ·
<a href="/readyz">readiness</a></p>
<script>${script}</script>`,
  );
}

export function landingPage(ad: DemoAd): string {
  return page(
    `${ad.advertiser}: ${ad.title}`,
    `${drawingOf(ad)}
<h1>${esc(ad.title)}</h1>
<p class="lead">This stands for the page of ${esc(ad.advertiser)}. The click on ad ${ad.adId} was redirected here, after it
was on disk.</p>
<p><a href="/?ad=${ad.adId}">The clicks of ad ${ad.adId}</a> · <a href="/demo">Back to the ads</a></p>`,
  );
}
