/**
 * The kinds of values that a setting can have. Each is one zod schema, and says how a flag's or a
 * variable's text becomes what the schema judges (a file brings numbers, lists and maps itself).
 */
import * as z from "zod";
import { idKeyOf, parseU64, type IdKey } from "../../actors/core/ids.ts";

export interface Kind<T> {
  /** Stands behind the flag in the help: `<port>`; empty for a switch. */
  readonly placeholder: string;
  readonly schema: z.ZodType<T>;
  fromText(text: string): unknown;
  /** As print-config shows it and a file may hold it. */
  show(value: T): unknown;
}

const same = <T>(value: T): unknown => value;
const numberFrom = (text: string): unknown => (/^\d{1,15}$/.test(text) ? Number(text) : text);
const listFrom = (text: string): unknown =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

function textKind(placeholder: string, schema: z.ZodType<string>): Kind<string> {
  return { placeholder, schema, fromText: same, show: same };
}

export function text(placeholder: string, pattern: RegExp, what: string): Kind<string> {
  return textKind(placeholder, z.string(what).regex(pattern, what));
}

export function count(placeholder: string, least: number, most: number): Kind<number> {
  const what = `must be a whole number from ${least} to ${most}`;
  return {
    placeholder,
    schema: z.int(what).min(least, what).max(most, what),
    fromText: numberFrom,
    show: same,
  };
}

export function choice<const T extends string>(placeholder: string, values: readonly T[]): Kind<T> {
  return {
    placeholder,
    schema: z.enum(values, `must be one of ${values.join(", ")}`),
    fromText: same,
    show: same,
  };
}

const SWITCH_TEXT: ReadonlyMap<string, boolean> = new Map([
  ...["true", "yes", "on", "1"].map((word) => [word, true] as const),
  ...["false", "no", "off", "0"].map((word) => [word, false] as const),
]);

export const onOff: Kind<boolean> = {
  placeholder: "",
  schema: z.boolean("must be true or false"),
  fromText: (word) => SWITCH_TEXT.get(word.toLowerCase()) ?? word,
  show: same,
};

export const port: Kind<number> = {
  ...count("<port>", 0, 65_535),
  schema: z
    .int("must be a port: a number from 0 to 65535, where 0 takes any free one")
    .min(0, "must be a port: a number from 0 to 65535, where 0 takes any free one")
    .max(65_535, "must be a port: a number from 0 to 65535, where 0 takes any free one"),
};

export const address = text("<address>", /^[^\s/]+$/, "must be an IP address or a host name");
export const path = text("<path>", /^[^\0]+$/, "must be a path");
export const secret = text("<secret>", /^[\u0021-\u007e]+$/, "must be printable ASCII without spaces");

/** A URL of one of the schemes; a trailing slash is dropped, a password is never shown. */
export function url(...schemes: readonly string[]): Kind<string> {
  const what = `must be a URL with ${schemes.map((scheme) => `${scheme}://`).join(" or ")}`;
  const isRight = (value: string): boolean =>
    URL.canParse(value) && schemes.includes(new URL(value).protocol.slice(0, -1));
  return {
    placeholder: "<url>",
    schema: z
      .string(what)
      .refine(isRight, what)
      .transform((value) => value.replace(/\/$/, "")),
    fromText: same,
    show: (value) => withoutPassword(value),
  };
}

/** URLs, separated by commas; each as `url` has it. */
export const urls: Kind<readonly string[]> = {
  placeholder: "<url,…>",
  schema: z.array(url("http", "https").schema, "must be a list of URLs").min(1, "must name at least one URL"),
  fromText: listFrom,
  show: (value) => value.map(withoutPassword),
};

/** `redis://user:password@host` as `redis://***@host`, wherever in a text it stands. */
export function withoutPassword(value: string): string {
  return value.replace(/\/\/[^/\s]*@/g, "//***@");
}

const HOST_PORT = /^([^\s:,=[\]]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/;

function listOf(placeholder: string, pattern: RegExp, what: string): Kind<readonly string[]> {
  return {
    placeholder,
    schema: z.array(z.string(what).regex(pattern, what), `must be a list; each part ${what}`),
    fromText: listFrom,
    show: same,
  };
}

export const hostPorts = ((): Kind<readonly string[]> => {
  const what = "must be host:port";
  const one = z.string(what).regex(HOST_PORT, what);
  return {
    placeholder: "<host:port,…>",
    schema: z.array(one, "must be a list of host:port").min(1, "must name at least one host:port"),
    fromText: listFrom,
    show: same,
  };
})();

export const addresses = listOf(
  "<address,…>",
  /^[0-9a-fA-F.:]+(\/\d{1,3})?$/,
  "must be an address or a subnet",
);

/** `1001=4,1002=8`, or `none`; a map in a file. */
export const splitAds: Kind<ReadonlyMap<IdKey, number>> = {
  placeholder: "<ad=ways,…>",
  schema: z
    .record(
      z.string().refine((text) => parseU64(text) !== undefined, "must have ad ids: unsigned 64-bit decimals"),
      z.coerce.number("must be ad=ways").int("ways are a whole number").min(2, "ways are 2 or more"),
      "must be ad=ways, separated by commas, each ad once; or none",
    )
    .transform((ads) => new Map(Object.entries(ads).map(([ad, ways]) => [idKeyOf(BigInt(ad)), ways]))),
  fromText(given) {
    if (given === "none") return {};
    const pairs = (listFrom(given) as string[]).map((part) => part.split("=") as [string, string]);
    const ads = new Map(pairs);
    return ads.size === pairs.length && pairs.every(({ length }) => length === 2)
      ? Object.fromEntries(ads)
      : given;
  },
  show: (ads) => Object.fromEntries([...ads].map(([ad, ways]) => [String(ad), ways])),
};

/** `actor-0=127.0.0.1:7070,actor-1=…`; a map in a file. */
export const namedHosts: Kind<ReadonlyMap<string, string>> = {
  placeholder: "<name=host:port,…>",
  schema: z
    .record(
      z.string().regex(/^[a-zA-Z0-9._-]{1,253}$/, "must have names of letters, digits, dots and dashes"),
      z.string("must be name=host:port").regex(HOST_PORT, "must be name=host:port"),
      "must be name=host:port, separated by commas; each name once",
    )
    .refine((hosts) => Object.keys(hosts).length > 0, "must name at least one host")
    .transform((hosts) => new Map(Object.entries(hosts))),
  fromText(given) {
    const pairs = (listFrom(given) as string[]).map((part) => {
      const at = part.indexOf("=");
      return at < 1 ? undefined : ([part.slice(0, at), part.slice(at + 1)] as const);
    });
    if (pairs.includes(undefined)) return given;
    const hosts = new Map(pairs as (readonly [string, string])[]);
    return hosts.size === pairs.length ? Object.fromEntries(hosts) : given;
  },
  show: (hosts) => Object.fromEntries(hosts),
};
