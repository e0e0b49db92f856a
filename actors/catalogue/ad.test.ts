import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { adToJson, parseAd, parseDestination } from "./ad.ts";

const good = {
  ad_id: "1001",
  campaign_id: "11",
  advertiser_id: "1",
  destination_url: "https://shop.example/boots",
  title: "Boots",
};
const parse = (fields: object) => parseAd({ ...good, ...fields }, DEFAULT_LIMITS);
const refusedFields = (fields: object) => {
  const parsed = parse(fields);
  return parsed.ok ? [] : parsed.errors.map((error) => error.field);
};

describe("parseAd", () => {
  test("takes a whole ad, and its JSON gives it back", () => {
    const parsed = parseAd(good, DEFAULT_LIMITS);
    expect(parsed).toEqual({
      ok: true,
      ad: {
        adId: 1001n,
        campaignId: 11n,
        advertiserId: 1n,
        destinationUrl: "https://shop.example/boots",
        title: "Boots",
      },
    });
    expect(parsed.ok && adToJson(parsed.ad)).toEqual(good);
  });

  test.each(["1", "9007199254740993", "18446744073709551615"])("takes the id %s", (ad_id) => {
    expect(refusedFields({ ad_id })).toEqual([]);
  });

  test.each([
    ["0"],
    ["01"],
    ["+1"],
    ["-1"],
    ["1.0"],
    ["1e3"],
    [" 1"],
    ["1\n"],
    ["0x1"],
    ["١"],
    ["18446744073709551616"],
    [""],
    [1],
    [null],
    [["1"]],
    [undefined],
  ])("refuses the id %j by the field's name", (id) => {
    expect(refusedFields({ ad_id: id })).toEqual(["ad_id"]);
    expect(refusedFields({ campaign_id: id })).toEqual(["campaign_id"]);
    expect(refusedFields({ advertiser_id: id })).toEqual(["advertiser_id"]);
  });

  test("names every field at fault at once", () => {
    expect(refusedFields({ ad_id: 1, title: 2, destination_url: "//evil", colour: "red" })).toEqual([
      "colour",
      "ad_id",
      "title",
      "destination_url",
    ]);
  });

  test("title: optional, UTF-8 bytes bounded, no control characters, well-formed", () => {
    expect(parse({ title: undefined })).toMatchObject({ ok: true, ad: { title: "" } });
    expect(refusedFields({ title: "ü".repeat(256) })).toEqual([]);
    expect(refusedFields({ title: "ü".repeat(256) + "a" })).toEqual(["title"]);
    for (const title of ["a\u0000", "a\nb", "a\u007f", "a\u0085", "\ud800", 1, null]) {
      expect(refusedFields({ title })).toEqual(["title"]);
    }
  });

  test.each([[null], ["ad"], [[good]], [1], [undefined]])("refuses %j as an ad", (input) => {
    expect(parseAd(input, DEFAULT_LIMITS).ok).toBe(false);
  });
});

const destination = (value: unknown) => parseDestination(value, DEFAULT_LIMITS.destinationMaxBytes);

describe("parseDestination (faults.md 25)", () => {
  test.each([
    ["https://shop.example", "https://shop.example/"],
    ["HTTP://Shop.Example:80/A?b=1#c", "http://shop.example/A?b=1#c"],
    ["https://shop.example/a/../b", "https://shop.example/b"],
    ["https://münchen.example/straße?q=ü", "https://xn--mnchen-3ya.example/stra%C3%9Fe?q=%C3%BC"],
    ["https://xn--mnchen-3ya.example/", "https://xn--mnchen-3ya.example/"],
    ["https://shop.example/?next=//evil&u=a@b", "https://shop.example/?next=//evil&u=a@b"],
    ["https://shop.example/%0d%0aSet-Cookie:x", "https://shop.example/%0d%0aSet-Cookie:x"],
    ["http://127.0.0.1:8080/demo", "http://127.0.0.1:8080/demo"],
    ["http://[::1]:8080/", "http://[::1]:8080/"],
    ["https://ｅｘａｍｐｌｅ.com/", "https://example.com/"],
  ])("%s is stored as %s", (given, stored) => {
    expect(destination(given)).toEqual({ ok: true, url: stored });
  });

  test.each([
    ["//evil.example"],
    ["///evil.example"],
    ["/\\evil.example"],
    ["\\\\evil.example"],
    ["/relative"],
    ["shop.example"],
    [""],
    ["https:"],
    ["https://"],
    ["https:///evil.example"],
    ["https:/evil.example"],
    ["https:evil.example"],
    ["https://?q"],
    ["https://#f"],
    ["https:\\\\evil.example"],
    ["https://shop.example\\@evil.example"],
    ["https://shop.example\\.evil.example/"],
    ["https://shop.example/a\\b"],
    ["javascript:alert(1)"],
    ["JaVaScRiPt:alert(1)"],
    ["java\tscript:alert(1)"],
    [" javascript:alert(1)"],
    ["data:text/html,x"],
    ["vbscript:x"],
    ["file:///etc/passwd"],
    ["ftp://shop.example/"],
    ["ws://shop.example/"],
    ["blob:https://shop.example/x"],
    ["https://user@evil.example/"],
    ["https://user:pass@evil.example/"],
    ["https://@evil.example/"],
    ["https://:@evil.example/"],
    ["https://shop.example@evil.example/"],
    ["https://shop.example/a\r\nSet-Cookie: x"],
    ["https://shop.example/a\nb"],
    ["https://shop.example/a\rb"],
    ["https://shop.example/a\tb"],
    ["https://shop.example/a\u0000b"],
    ["https://shop.example/a\u007fb"],
    ["https://shop.example/a\u0085b"],
    ["https://shop.example/a b"],
    [" https://shop.example/"],
    ["https://shop.example/ "],
    ["https://shop.example/\u00a0"],
    ["https://shop.example/\u2028"],
    ["https://shop.example/\ufeff"],
    ["https://shop.example/\ud800"],
    ["https://shop.example:99999/"],
    ["https://shop.example:x/"],
    ["https://sh op.example/"],
    ["https://shop%00.example/"],
    ["https://shop%2f.example/"],
    ["https://shop%5c.example/"],
    ["https://a<b>/"],
    ["https://[::1/"],
    [`https://shop.example/${"a".repeat(2_048)}`],
    [`https://shop.example/${"ü".repeat(400)}`],
    [1],
    [null],
    [undefined],
    [["https://shop.example/"]],
  ])("%j is refused, with a reason", (given) => {
    const parsed = destination(given);
    expect(parsed.ok).toBe(false);
    expect(!parsed.ok && parsed.reason).toBeTruthy();
  });

  test("the bound is inclusive", () => {
    const url = "https://shop.example/".padEnd(DEFAULT_LIMITS.destinationMaxBytes, "a");
    expect(destination(url)).toEqual({ ok: true, url });
    expect(destination(url + "a").ok).toBe(false);
  });

  test("whatever passes is printable ASCII of http(s), without user info, and passes again unchanged", () => {
    const parts = fc.constantFrom(
      ..."https:// http:// // / \\ @ : ? # a.example evil münchen %00 %0d %5c \r \n \t . .. [::1] javascript: é 𝟘".split(
        " ",
      ),
    );
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.webUrl({ withQueryParameters: true, withFragments: true }),
      fc.array(parts, { maxLength: 8 }).map((list) => `https://${list.join("")}`),
    );
    fc.assert(
      fc.property(text, (given) => {
        const parsed = destination(given);
        if (!parsed.ok) return;
        expect(parsed.url).toMatch(/^https?:\/\/[\u0021-\u007e]+$/);
        const url = new URL(parsed.url);
        expect([url.username, url.password]).toEqual(["", ""]);
        expect(destination(parsed.url)).toEqual(parsed);
      }),
      process.env["ADTALLY_SEED"] === undefined ? {} : { seed: Number(process.env["ADTALLY_SEED"]) },
    );
  });
});
