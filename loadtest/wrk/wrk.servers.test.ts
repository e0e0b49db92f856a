/** wrk's script clicks each token once, and what it says it saw is what a server was asked. */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runWrk, type WrkFigures } from "./wrk.ts";

const SPARE = 10;

/** A server that redirects clicks after `delayMs`; every `refuseEvery`-th it refuses. */
async function clicked(
  options: { readonly count: number; readonly seconds: number; readonly threads: number },
  delayMs = 0,
  refuseEvery = Infinity,
): Promise<{
  readonly figures: WrkFigures;
  readonly asked: readonly string[];
  readonly tokens: readonly string[];
}> {
  const { count } = options;
  const tokens = Array.from(
    { length: SPARE + count + SPARE },
    (_, i) => `token-${String(i).padStart(6, "0")}`,
  );
  const dir = await mkdtemp(join(tmpdir(), "adtally-wrk-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const file = join(dir, "tokens");
  await writeFile(file, tokens.map((token) => `${token}\n`).join(""));
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const token = /^\/click\?i=(.+)$/.exec(request.url ?? "")?.[1];
    if (token === undefined) {
      response.writeHead(request.url === "/healthz" ? 200 : 500).end();
      return;
    }
    asked.push(token);
    const status = asked.length % refuseEvery === 0 ? 503 : 302;
    setTimeout(() => response.writeHead(status, { location: "https://shop.example/" }).end(), delayMs);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const figures = await runWrk({
    url: `http://127.0.0.1:${port}`,
    tokens: file,
    tokenLength: tokens[0]!.length,
    first: SPARE,
    connections: 16,
    ...options,
  });
  return { figures, asked, tokens: tokens.slice(SPARE, SPARE + count) };
}

for (const threads of [1, 3]) {
  test(`each token is clicked once by ${threads} threads, and every answer is seen`, async () => {
    const { figures, asked, tokens } = await clicked({ count: 2_000, seconds: 3, threads });
    expect([...asked].sort()).toEqual(tokens);
    expect(figures).toMatchObject({ taken: 2_000, redirects: 2_000, others: 0, left: 0, socketErrors: 0 });
  });
}

test("when the time is up no answer is left behind", async () => {
  const { figures, asked } = await clicked({ count: 100_000, seconds: 1, threads: 2 }, 20);
  expect(figures.left).toBeGreaterThan(0);
  expect(figures.taken).toBe(asked.length);
  expect(figures.redirects).toBe(asked.length);
  expect(new Set(asked).size).toBe(asked.length);
  // A timer may be a little early by the client's clock.
  expect(figures.p50Us).toBeGreaterThanOrEqual(18_000);
});

test("an answer that is no redirect is counted as such", async () => {
  const { figures } = await clicked({ count: 1_000, seconds: 3, threads: 1 }, 0, 10);
  expect(figures).toMatchObject({ taken: 1_000, redirects: 900, others: 100 });
});
