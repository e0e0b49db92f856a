/** The answers to a click: a redirect to the advertiser's page, or a small page of our own. */
import type { ServerResponse } from "node:http";

/** What the catalogue registers, and all that ever goes into a Location: a URL in plain ASCII. */
const REGISTERED = /^https?:\/\/[\x21-\x7e]+$/;

export function isRedirectable(destinationUrl: string): boolean {
  return REGISTERED.test(destinationUrl);
}

/** Told with the redirect of a click that will not be counted, for want of a place to keep it. */
export const NOT_KEPT = ["Adtally-Click", "not-kept"] as const;

export function redirect(
  response: ServerResponse,
  destinationUrl: string,
  extra: readonly string[] = [],
): void {
  response.writeHead(302, [
    "Location",
    destinationUrl,
    "Cache-Control",
    "no-store",
    // The advertiser may learn which site sent the user, but never the click's own address.
    "Referrer-Policy",
    "strict-origin",
    "Content-Length",
    "0",
    ...extra,
  ]);
  response.end();
}

interface Page {
  readonly status: number;
  readonly html: Buffer;
}

function page(status: number, title: string, text: string): Page {
  const head = `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title>`;
  return { status, html: Buffer.from(`${head}<h1>${title}</h1><p>${text}</p></html>\n`) };
}

/** Nothing of the request is ever repeated in a page. */
export const PAGES = {
  damaged: page(
    400,
    "This link is damaged",
    "It is not an advertisement’s link as we issued it. Go back and click the advertisement again.",
  ),
  unknownAd: page(404, "This advertisement is gone", "There is no advertisement behind this link."),
  method: page(405, "Not like this", "A click is a GET request."),
  busy: page(503, "One moment, please", "We cannot take your click right now. Please try again in a moment."),
} as const;

export function sendPage(
  response: ServerResponse,
  { status, html }: Page,
  extra: readonly string[] = [],
): void {
  response.writeHead(status, [
    "Content-Type",
    "text/html; charset=utf-8",
    "Cache-Control",
    "no-store",
    "X-Content-Type-Options",
    "nosniff",
    "Content-Length",
    String(html.length),
    ...extra,
  ]);
  response.end(html);
}
