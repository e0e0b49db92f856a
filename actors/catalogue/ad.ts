/**
 * An ad as it comes from outside: checked field by field, and normalised. Called by the HTTP
 * API for one ad and by the import for each line; nothing else builds an Ad from input.
 *
 * Invariants
 *  A1 The stored destination is the URL as the WHATWG parser serialises it: printable ASCII,
 *     host in punycode, so it goes into a Location header as it is and every browser reads it
 *     as the parser did.
 *  A2 Whatever the parser would repair in silence (spaces, tabs and line breaks that it drops,
 *     backslashes that it turns, missing or surplus slashes, empty user names) is refused: the
 *     author and a browser could read it as different places.
 *  A3 An ad that passes is not changed by passing again.
 *  A4 A refusal names every field at fault, and says what would be right.
 */
import { parseU64 } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import type { Ad } from "../ports/catalogue.ts";

export interface FieldError {
  /** The name of the field in JSON. */
  readonly field: string;
  readonly reason: string;
}

export type ParsedAd =
  { readonly ok: true; readonly ad: Ad } | { readonly ok: false; readonly errors: readonly FieldError[] };

export type AdLimits = Pick<Limits, "destinationMaxBytes" | "adTitleMaxBytes">;

const FIELDS: ReadonlySet<string> = new Set([
  "ad_id",
  "campaign_id",
  "advertiser_id",
  "destination_url",
  "title",
]);

// Control characters of both kinds, and DEL: none of them belongs into a title, a URL or a header.
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const SPACE = /\s/;
const PRINTABLE_ASCII = /^[\u0021-\u007e]+$/;

/** `input` is what JSON.parse gave. */
export function parseAd(input: unknown, limits: AdLimits): ParsedAd {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    return { ok: false, errors: [{ field: "", reason: "an ad must be a JSON object" }] };
  }
  const fields = input as Readonly<Record<string, unknown>>;
  const errors: FieldError[] = [];
  const refuse = (field: string, reason: string) => void errors.push({ field, reason });

  for (const name in fields) {
    if (!FIELDS.has(name)) refuse(name.slice(0, 64), `is not a field of an ad (${[...FIELDS].join(", ")})`);
  }
  const adId = parseId(fields["ad_id"], "ad_id", refuse);
  const campaignId = parseId(fields["campaign_id"], "campaign_id", refuse);
  const advertiserId = parseId(fields["advertiser_id"], "advertiser_id", refuse);
  const title = parseTitle(fields["title"], limits.adTitleMaxBytes, refuse);
  const destination = parseDestination(fields["destination_url"], limits.destinationMaxBytes);
  if (!destination.ok) refuse("destination_url", destination.reason);

  return errors.length === 0 && destination.ok
    ? { ok: true, ad: { adId, campaignId, advertiserId, destinationUrl: destination.url, title } }
    : { ok: false, errors };
}

type Refuse = (field: string, reason: string) => void;

function parseId(value: unknown, field: string, refuse: Refuse): bigint {
  const id = typeof value === "string" ? parseU64(value) : undefined;
  if (id !== undefined && id !== 0n) return id;
  const given = typeof value === "number" ? " (in quotes: JSON numbers lose digits above 2^53)" : "";
  refuse(field, `must be a decimal string from "1" to "18446744073709551615" without leading zeros${given}`);
  return 0n;
}

function parseTitle(value: unknown, maxBytes: number, refuse: Refuse): string {
  if (value === undefined) return "";
  if (typeof value !== "string") refuse("title", "must be a string");
  else if (!value.isWellFormed()) refuse("title", "must be well-formed Unicode (it has a lone surrogate)");
  else if (CONTROL.test(value)) refuse("title", "must not have control characters");
  else if (Buffer.byteLength(value) > maxBytes) refuse("title", `must be at most ${maxBytes} bytes in UTF-8`);
  else return value;
  return "";
}

export type ParsedDestination =
  { readonly ok: true; readonly url: string } | { readonly ok: false; readonly reason: string };

/** Where a click may be redirected to: an absolute http or https URL (A1, A2). */
export function parseDestination(value: unknown, maxBytes: number): ParsedDestination {
  const no = (reason: string): ParsedDestination => ({ ok: false, reason });

  if (typeof value !== "string") return no("must be a string: an absolute http or https URL");
  if (value.length > maxBytes) return no(`must be at most ${maxBytes} bytes`);
  if (!value.isWellFormed()) return no("must be well-formed Unicode (it has a lone surrogate)");
  if (CONTROL.test(value)) return no("must not have control characters or line breaks");
  if (SPACE.test(value)) return no("must not have spaces (write %20)");
  if (value.includes("\\")) return no("must not have backslashes (write %5C)");

  const scheme = /^https?:\/\//i.exec(value);
  if (scheme === null) return no("must be absolute and begin with http:// or https://");
  const authority = /^[^/?#]*/.exec(value.slice(scheme[0].length))![0];
  if (authority === "") return no("must name a host right behind the two slashes");
  if (authority.includes("@")) return no("must not have a user name or password before the host");

  const url = URL.parse(value);
  if (url === null) return no("is not a valid URL (see https://url.spec.whatwg.org)");
  // Percent-decoding and IDNA happen inside the host: what came out counts, not what went in.
  if (url.hostname === "" || (url.protocol !== "http:" && url.protocol !== "https:")) {
    return no("must name a host and use http or https");
  }
  if (url.username !== "" || url.password !== "") {
    return no("must not have a user name or password before the host");
  }
  if (url.href.length > maxBytes) return no(`must be at most ${maxBytes} bytes once normalised`);
  if (!PRINTABLE_ASCII.test(url.href)) return no("does not normalise to printable ASCII");
  return { ok: true, url: url.href };
}

/** An ad in JSON, with the names that `parseAd` takes. */
export function adToJson(ad: Ad): Readonly<Record<string, string>> {
  return {
    ad_id: String(ad.adId),
    campaign_id: String(ad.campaignId),
    advertiser_id: String(ad.advertiserId),
    destination_url: ad.destinationUrl,
    title: ad.title,
  };
}
