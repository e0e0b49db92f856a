/**
 * The token keys and their file. Keys have ids from 0 to 255: several verify, one signs.
 *
 * To rotate: add a key everywhere, then sign with it, and drop the old one once its last token
 * has expired. The file is JSON:
 *   { "signing_key_id": 2, "keys": { "1": "base64 of 32 bytes", "2": "base64 of 32 bytes" } }
 */
import { AdtallyError } from "../core/errors.ts";

export const KEY_BYTES = 32;
const MAX_KEY_ID = 255;

export interface TokenKeys {
  readonly signingKeyId: number;
  readonly keys: ReadonlyMap<number, Uint8Array>;
}

type RandomBytes = (count: number) => Uint8Array;

export function generateKeys(random: RandomBytes): TokenKeys {
  return { signingKeyId: 1, keys: new Map([[1, random(KEY_BYTES)]]) };
}

/** Adds a key that signs from now on; the others go on verifying. */
export function rotateKeys(keys: TokenKeys, random: RandomBytes): TokenKeys {
  for (let step = 1; step <= MAX_KEY_ID; step++) {
    const id = (keys.signingKeyId + step) % (MAX_KEY_ID + 1);
    if (!keys.keys.has(id)) return { signingKeyId: id, keys: new Map(keys.keys).set(id, random(KEY_BYTES)) };
  }
  throw new AdtallyError("CONFIG_INVALID", "token keys: all 256 key ids are taken; retire old keys first");
}

/** Adds a key that only verifies: for gateways to know before any signs with it. */
export function addKey(keys: TokenKeys, id: number, random: RandomBytes): TokenKeys {
  if (keys.keys.has(id)) throw new AdtallyError("CONFIG_INVALID", `token keys: key ${id} is there already`);
  return { signingKeyId: keys.signingKeyId, keys: new Map(keys.keys).set(id, random(KEY_BYTES)) };
}

/** Has one of the keys sign; the others go on verifying. */
export function signWith(keys: TokenKeys, id: number): TokenKeys {
  if (!keys.keys.has(id)) throw new AdtallyError("CONFIG_INVALID", `token keys: there is no key ${id}`);
  return { signingKeyId: id, keys: keys.keys };
}

/** Drops a key: its tokens are refused as TOKEN_KEY_UNKNOWN from now on. */
export function retireKey(keys: TokenKeys, id: number): TokenKeys {
  if (id === keys.signingKeyId) {
    throw new AdtallyError("CONFIG_INVALID", `token keys: key ${id} signs; rotate before you retire it`);
  }
  const rest = new Map(keys.keys);
  rest.delete(id);
  return { signingKeyId: keys.signingKeyId, keys: rest };
}

export function formatKeyFile(keys: TokenKeys): string {
  const entries = [...keys.keys].map(([id, key]) => [String(id), Buffer.from(key).toString("base64")]);
  const file = { signing_key_id: keys.signingKeyId, keys: Object.fromEntries(entries) as object };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** @throws CONFIG_INVALID, naming the key at fault; never with a key's bytes in the message. */
export function parseKeyFile(text: string): TokenKeys {
  const file = parseObject(text);
  const listed = file["keys"];
  if (!isObject(listed)) throw invalid('"keys" must be an object of key id to base64');
  const keys = new Map(Object.entries(listed).map(([id, key]) => [parseKeyId(id), parseKey(id, key)]));
  const signingKeyId = file["signing_key_id"];
  if (typeof signingKeyId !== "number" || !keys.has(signingKeyId)) {
    throw invalid(
      `"signing_key_id" is ${JSON.stringify(signingKeyId)}: it must be the id of one of the keys`,
    );
  }
  return { signingKeyId, keys };
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, and with it a key.
    throw invalid("it is not JSON");
  }
  if (!isObject(value)) throw invalid("it must be a JSON object");
  return value;
}

function parseKeyId(text: string): number {
  const id = Number(text);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(text) || id > MAX_KEY_ID) {
    throw invalid(`key id ${JSON.stringify(text)} must be a number from 0 to ${MAX_KEY_ID}`);
  }
  return id;
}

function parseKey(id: string, value: unknown): Uint8Array {
  if (typeof value !== "string") throw invalid(`key ${id} must be a string of base64`);
  const key = Buffer.from(value, "base64");
  if (key.toString("base64") !== value) throw invalid(`key ${id} is not base64`);
  if (key.length !== KEY_BYTES) throw invalid(`key ${id} has ${key.length} bytes; it needs ${KEY_BYTES}`);
  return new Uint8Array(key);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(what: string): AdtallyError {
  return new AdtallyError("CONFIG_INVALID", `token key file: ${what}`);
}
