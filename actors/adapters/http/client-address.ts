/**
 * The address of the user behind a request: the socket's, or, when the socket's peer is a proxy
 * of ours, the last address in X-Forwarded-For that is not. Anyone can write that header, so it
 * is believed from listed proxies alone.
 */
import { BlockList, isIP } from "node:net";
import { AdtallyError } from "../../core/errors.ts";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";

const ADDRESS_BYTES = 16;
const NO_ADDRESS = new Uint8Array(0);

/** 16 bytes (IPv4 as ::ffff:a.b.c.d), or none when it cannot be known. */
export type ClientAddress = (request: IncomingMessage) => Uint8Array;

/**
 * @param trustedProxies addresses or subnets: "10.0.0.0/8", "::1"
 * @throws CONFIG_INVALID
 */
export function createClientAddress(trustedProxies: readonly string[]): ClientAddress {
  const proxies = new BlockList();
  for (const proxy of trustedProxies) addProxy(proxies, proxy);
  const ofSocket = new WeakMap<Socket, Uint8Array>();

  function isProxy(address: string): boolean {
    const version = isIP(address);
    return version !== 0 && proxies.check(address, version === 4 ? "ipv4" : "ipv6");
  }

  return (request) => {
    const { socket } = request;
    // Only peers that are no proxies have one: asking a socket for its peer's costs more than this.
    const known = ofSocket.get(socket);
    if (known !== undefined) return known;
    const peer = socket.remoteAddress ?? "";
    if (trustedProxies.length > 0 && isProxy(peer)) {
      const forwarded = request.headers["x-forwarded-for"];
      const hops = (Array.isArray(forwarded) ? forwarded.join() : (forwarded ?? "")).split(",");
      const user = hops.map((hop) => hop.trim()).findLast((hop) => !isProxy(hop));
      return parseAddress(user === undefined || user === "" ? peer : user);
    }
    const address = parseAddress(peer);
    ofSocket.set(socket, address);
    return address;
  };
}

function addProxy(proxies: BlockList, text: string): void {
  const [address = "", prefix] = text.split("/");
  const version = isIP(address);
  const most = version === 4 ? 32 : 128;
  // "10.0.0.0/" must not come to mean "/0", which trusts everyone.
  const bits = prefix === undefined ? most : /^[0-9]{1,3}$/.test(prefix) ? Number(prefix) : Infinity;
  if (version === 0 || bits > most) {
    throw new AdtallyError(
      "CONFIG_INVALID",
      `trusted proxy "${text}" is neither an address nor a subnet like 10.0.0.0/8`,
    );
  }
  proxies.addSubnet(address, bits, version === 4 ? "ipv4" : "ipv6");
}

/** The 16 bytes of an address, or none when the text is no address. */
export function parseAddress(text: string): Uint8Array {
  const version = isIP(text);
  if (version === 4) return mapped(text);
  // An address with a zone ("%eth0") means something on that machine alone.
  return version === 6 && !text.includes("%") ? parseIPv6(text) : NO_ADDRESS;
}

function mapped(text: string): Uint8Array {
  const bytes = new Uint8Array(ADDRESS_BYTES);
  bytes[10] = bytes[11] = 0xff;
  text.split(".").forEach((part, i) => (bytes[12 + i] = Number(part)));
  return bytes;
}

/** Of a text that is known to be an IPv6 address. */
function parseIPv6(text: string): Uint8Array {
  const lastColon = text.lastIndexOf(":");
  const dotted = text.indexOf(".") > 0 ? text.slice(lastColon + 1) : undefined;
  const hex = dotted === undefined ? text : `${text.slice(0, lastColon + 1)}${hexWords(dotted)}`;
  const [head = "", tail] = hex.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const bytes = new Uint8Array(ADDRESS_BYTES);
  left.forEach((word, i) => writeWord(bytes, i, word));
  right.forEach((word, i) => writeWord(bytes, 8 - right.length + i, word));
  return bytes;
}

function hexWords(dotted: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = dotted.split(".").map(Number);
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

function writeWord(bytes: Uint8Array, word: number, text: string): void {
  const value = parseInt(text, 16);
  bytes[2 * word] = value >>> 8;
  bytes[2 * word + 1] = value & 0xff;
}
