import { expect, it } from "vitest";
import { createClientAddress, parseAddress } from "./client-address.ts";

const hex = (text: string) => Buffer.from(parseAddress(text)).toString("hex");

it.each([
  ["192.0.2.1", "00000000000000000000ffffc0000201"],
  ["::ffff:192.0.2.1", "00000000000000000000ffffc0000201"],
  ["::", "00000000000000000000000000000000"],
  ["::1", "00000000000000000000000000000001"],
  ["2001:db8::", "20010db8000000000000000000000000"],
  ["2001:db8::ff00:42:8329", "20010db8000000000000ff0000428329"],
  ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
  ["64:ff9b::192.0.2.33", "0064ff9b0000000000000000c0000221"],
])("%s is %s", (text, bytes) => expect(hex(text)).toBe(bytes));

it.each(["", "unknown", "1.2.3", "1.2.3.4.5", "fe80::1%eth0", "[::1]", "1.2.3.4:80", ":::"])(
  "%j is no address",
  (text) => expect(hex(text)).toBe(""),
);

it.each(["10.0.0.0/33", "::/129", "proxy.example", "10.0.0.0/", "10.0.0.0/x"])(
  "a trusted proxy %j is refused at start",
  (proxy) => expect(() => createClientAddress([proxy])).toThrow(/trusted proxy/),
);
