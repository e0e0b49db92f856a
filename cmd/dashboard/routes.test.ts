import fastify from "fastify";
import { expect, test } from "vitest";
import { loadAssets } from "./assets.ts";
import { registerDashboard } from "./routes.ts";

/** What was promised; uPlot is most of it. */
const MOST_GZIPPED_BYTES = 150 * 1_024;

const open = (hasDemo = false) => {
  const app = fastify();
  registerDashboard(app, { hasDemo });
  return app;
};

test("the page loads from this host alone, and its policy lets nothing else in", async () => {
  const { body, headers } = await open().inject("/");
  const policy = String(headers["content-security-policy"]);
  expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'");
  expect(policy).not.toMatch(/unsafe|https?:|\*/);
  expect(body).not.toMatch(/(src|href)="(https?:)?\/\//);
  expect(body).not.toMatch(/<script>|<style|\son[a-z]+=|\sstyle=/);
});

test("/demo is linked where there is one", async () => {
  expect((await open().inject("/")).body).not.toContain("/demo");
  expect((await open(true).inject("/")).body).toContain('data-demo="/demo"');
});

test("files may be kept for ever under their digest, and another version's are not there", async () => {
  const { base } = loadAssets();
  const app = open();
  const gzipped = await app.inject({ url: `${base}main.ts`, headers: { "accept-encoding": "gzip, br" } });
  expect(gzipped.headers).toMatchObject({
    "content-encoding": "gzip",
    "cache-control": "public, max-age=31536000, immutable",
    "content-type": "text/javascript; charset=utf-8",
  });
  const plain = await app.inject(`${base}main.ts`);
  expect(plain.headers["content-encoding"]).toBeUndefined();
  for (const url of ["/dashboard/0000000000000000/main.ts", `${base}assets.ts`, `${base}..%2Fassets.ts`])
    expect((await app.inject(url)).statusCode, url).toBe(404);
});

test("modules have no types left, and import nothing that a browser cannot find", () => {
  const { files } = loadAssets();
  for (const [name, { bytes, type }] of files) {
    if (!type.startsWith("text/javascript")) continue;
    expect(bytes.toString(), name).not.toMatch(/^(import|export) type /m);
    for (const [, imported] of bytes.toString().matchAll(/\bfrom\s*"([\w./@-]+)"/g))
      expect([...files.keys()], `${name} imports ${imported}`).toContain(imported!.replace(/^\.\//, ""));
  }
});

test("all of it weighs less than was promised", () => {
  const bytes = [...loadAssets().files.values()].reduce((sum, { gzipped }) => sum + gzipped.length, 0);
  expect(bytes).toBeLessThan(MOST_GZIPPED_BYTES);
});
