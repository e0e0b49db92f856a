/** GET /click on real sockets: faults 24 to 26 of the fault list, and what a browser sees. */
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RowAt } from "../../actors/block/row.ts";
import { Verdict } from "../../actors/core/verdict.ts";
import { ask as askAt } from "./ask.ts";
import { COLD_AD, DESTINATION, EVIL_AD, UNKNOWN_AD, openGateway } from "./gateway-fixture.ts";
import type { RequestOptions } from "node:http";
import type { GatewayUnderTest } from "./gateway-fixture.ts";

let gateway: GatewayUnderTest;
beforeEach(async () => {
  gateway = await openGateway();
});
afterEach(() => gateway.drain());

const ask = (path: string, options: RequestOptions = {}) => askAt(gateway.httpPort, path, options);

/** Sends bytes as they are and returns all that comes back until the server closes. */
function askRaw(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(gateway.httpPort, "127.0.0.1", () => socket.write(bytes, "latin1"));
    socket.setEncoding("latin1").on("data", (text: string) => (answer += text));
    socket.on("error", reject).on("close", () => resolve(answer));
  });
}

const clickUrl = (text: string) => `/click?i=${text}`;
const rows = () => [...gateway.shards.values()].flatMap((shard) => shard.rows);

describe("a click", () => {
  it("is counted once and redirected to the registered page, with nothing for caches to keep", async () => {
    const { tokenText, impressionId } = gateway.impression();
    const answer = await ask(clickUrl(tokenText), { headers: { "user-agent": "Test/1" } });
    expect(answer).toMatchObject({
      status: 302,
      body: "",
      headers: { location: DESTINATION, "cache-control": "no-store", "content-length": "0" },
    });
    expect(answer.headers["referrer-policy"]).toBeDefined();
    expect(rows()).toHaveLength(1);
    expect(rows()[0]).toMatchObject({
      impressionId: impressionId.toString("hex"),
      verdict: Verdict.ACCEPTED,
    });
    expect(rows()[0]!.bytes.toString("latin1")).toContain("Test/1");
    expect(rows()[0]!.bytes.toString("hex", RowAt.ip, RowAt.ip + 16)).toBe(
      "00000000000000000000ffff7f000001",
    );
  });

  it("C2 is answered only after its shard has answered", async () => {
    gateway.each((shard) => shard.beSlow(80));
    const startedMs = performance.now();
    expect((await ask(clickUrl(gateway.impression().tokenText))).status).toBe(302);
    expect(performance.now() - startedMs).toBeGreaterThan(75);
  });

  it("of an ad that is not in memory waits for the catalogue", async () => {
    expect((await ask(clickUrl(gateway.impression(COLD_AD).tokenText))).status).toBe(302);
    expect(gateway.accepted()).toBe(1);
  });

  it("of an unknown ad is 404", async () => {
    expect((await ask(clickUrl(gateway.impression(UNKNOWN_AD).tokenText))).status).toBe(404);
    expect(gateway.rowCount()).toBe(0);
  });

  it("that is expired is redirected, and handed on as EXPIRED", async () => {
    const answer = await ask(clickUrl(gateway.impression(1001n, 3 * 3_600_000).tokenText));
    expect([answer.status, answer.headers.location]).toEqual([302, DESTINATION]);
    expect(rows().map((row) => row.verdict)).toEqual([Verdict.EXPIRED]);
  });

  it("from the future is redirected, and not counted", async () => {
    expect((await ask(clickUrl(gateway.impression(1001n, -90_000).tokenText))).status).toBe(302);
    expect(gateway.rowCount()).toBe(0);
  });

  it("of a generation that is not here yet is asked to try again", async () => {
    const { impressionId } = gateway.impression();
    const answer = await ask(clickUrl(gateway.sign(9, 1001n, impressionId)));
    expect([answer.status, answer.headers["retry-after"]]).toEqual([503, "1"]);
  });

  it("takes other parameters with it, but one token alone", async () => {
    const text = () => gateway.impression().tokenText;
    expect((await ask(`/click?utm=1&i=${text()}&x=%zz`)).status).toBe(302);
    expect(
      (await ask(`/click?i=${text().replace(/[-_]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)}`)).status,
    ).toBe(302);
    expect((await ask(`http://any.example/click?i=${text()}`)).status).toBe(302);
    expect((await ask(`/click?i=${text()}&i=${text()}`)).status).toBe(400);
    expect((await ask("/click")).status).toBe(400);
    expect((await ask("/clicks?i=1")).body).toBe("other");
  });

  it("C4 by HEAD or ahead of time redirects and never counts", async () => {
    const { tokenText } = gateway.impression();
    const ahead = ["Purpose", "Sec-Purpose", "X-Moz", "X-Purpose"].flatMap((name) => [
      { headers: { [name]: "prefetch" } },
      { headers: { [name]: "prefetch;prerender" } },
    ]);
    for (const options of [{ method: "HEAD" }, ...ahead]) {
      expect(await ask(clickUrl(tokenText), options)).toMatchObject({
        status: 302,
        headers: { location: DESTINATION },
      });
    }
    expect(gateway.rowCount()).toBe(0);
  });

  it("by any other method is 405", async () => {
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"]) {
      const answer = await ask(clickUrl(gateway.impression().tokenText), { method });
      expect([method, answer.status, answer.headers.allow]).toEqual([method, 405, "GET, HEAD"]);
    }
    expect(gateway.rowCount()).toBe(0);
  });
});

describe("fault 24: tokens", () => {
  it("with any bit of their 352 flipped are 400 and count nothing", async () => {
    const { token } = gateway.impression();
    for (let bit = 0; bit < token.length * 8; bit++) {
      const damaged = Buffer.from(token);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect([bit, (await ask(clickUrl(damaged.toString("base64url")))).status]).toEqual([bit, 400]);
    }
    expect(gateway.rowCount()).toBe(0);
  });

  it("with any character changed are 400: one text alone is taken", async () => {
    const { tokenText } = gateway.impression();
    for (let at = 0; at < tokenText.length; at++) {
      const other = tokenText[at] === "A" ? "B" : "A";
      const answer = await ask(clickUrl(tokenText.slice(0, at) + other + tokenText.slice(at + 1)));
      expect([at, answer.status]).toEqual([at, 400]);
    }
    expect(gateway.rowCount()).toBe(0);
  });

  it.each<[string, (text: string) => string]>([
    ["cut short", (text) => text.slice(0, -1)],
    ["empty", () => ""],
    ["padded", (text) => `${text}=`],
    ["of 10 KB", (text) => text + "A".repeat(10_240)],
    ["with %00", (text) => `${text}%00`],
    ["that begins with %00", (text) => `%00${text.slice(1)}`],
    ["with a broken escape", (text) => `${text.slice(0, -2)}%G`],
    ["with characters past Latin-1", (text) => `${text.slice(0, -1)}%E2%82%AC`],
    ["in standard base64", (text) => `${text.slice(0, -2)}+/`],
    ["with a space", (text) => `${text}%20`],
    ["with markup", () => "<script>alert(1)</script>".replaceAll("<", "%3C")],
  ])("%s are 400, plainly, and count nothing", async (_name, damage) => {
    const answer = await ask(clickUrl(damage(gateway.impression().tokenText)));
    expect(answer.status).toBe(400);
    expect(answer.headers["content-type"]).toContain("text/html");
    expect(answer.body).not.toContain("script");
    expect(gateway.rowCount()).toBe(0);
  });

  it("with a NUL byte on the wire are 400", async () => {
    const answer = await askRaw(`GET /click?i=\0abc HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  });

  it("replayed 1,000 times at once count once, and every user is redirected", async () => {
    const { tokenText } = gateway.impression();
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => ask(clickUrl(tokenText))));
    expect(answers.every((answer) => answer.status === 302)).toBe(true);
    expect([gateway.accepted(), gateway.rowCount()]).toEqual([1, 1_000]);
  });
});

describe("fault 25: destinations", () => {
  it("a destination that no catalogue would register goes nowhere", async () => {
    const answer = await ask(clickUrl(gateway.impression(EVIL_AD).tokenText));
    expect([answer.status, answer.headers.location, answer.headers["set-cookie"]]).toEqual([
      404,
      undefined,
      undefined,
    ]);
  });
  it.each(["url", "to", "destination", "redirect"])("?%s= does not choose where it goes", async (name) => {
    const answer = await ask(`/click?${name}=https://evil.example&i=${gateway.impression().tokenText}`, {
      headers: { host: "evil.example", "x-forwarded-host": "evil.example" },
    });
    expect(answer.headers.location).toBe(DESTINATION);
  });
});

describe("fault 26: requests", () => {
  const head = (extra: string) =>
    `GET /click?i=${gateway.impression().tokenText} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${extra}\r\n`;

  it.each<[string, () => string, string]>([
    ["headers of 17 KB", () => head(`X-Long: ${"a".repeat(17 * 1024)}\r\n`), "431"],
    ["two lengths", () => head("Content-Length: 0\r\nContent-Length: 5\r\n"), "400"],
    ["a length beside chunks", () => head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "400"],
    ["a folded header", () => head("X-A: 1\r\n X-B: 2\r\n"), "400"],
    ["a bare line feed", () => head("X-A: 1\nX-B: 2\r\n"), "400"],
    ["no host", () => "GET /click HTTP/1.1\r\nConnection: close\r\n\r\n", "400"],
    ["a space in a header's name", () => head("X-A : 1\r\n"), "400"],
    ["no HTTP", () => "\x16\x03\x01\x02\x00\r\n\r\n", "400"],
  ])("%s are refused, and the connection closed", async (_name, bytes, status) => {
    const smuggled = head("").replace("GET", "POST");
    const answer = await askRaw(bytes() + smuggled);
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual([`HTTP/1.1 ${status}`]);
    expect(gateway.rowCount()).toBe(0);
  });
});
