/** Live counts of `npm start`: a click is told, and a client that comes back after a restart misses none. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEFAULT_LIMITS as limits } from "../../actors/core/limits.ts";
import { systemClock as clock, systemRandom as random } from "../../actors/runtime/clock.ts";
import { silentLogger as logger } from "../../actors/runtime/log.ts";
import { startLocal, type Local } from "./local.ts";

const KEY = "live-test-admin-key";
const AD = "4711";
const WAIT = { timeout: 30_000, interval: 20 };
const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };

let dataDir: string;
let local: Local;
const start = () =>
  startLocal({
    config: {
      host: "127.0.0.1",
      httpPort: 0,
      grpcPort: 0,
      clickhousePort: 0,
      dataDir,
      shards: 2,
      adminKey: KEY,
      publicUrl: undefined,
      openReports: true,
      demo: false,
      logLevel: "silent",
    },
    version: "0",
    limits,
    clock,
    random,
    logger,
    progress: () => undefined,
  });

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "adtally-live-local-"));
  local = await start();
  const ad = { ad_id: AD, campaign_id: "471", advertiser_id: "47", destination_url: "https://example.com/" };
  const made = await fetch(`${local.url}/v1/ads`, { method: "POST", headers, body: JSON.stringify(ad) });
  expect(made.status).toBe(201);
}, 60_000);
afterAll(async () => {
  await local?.close();
  await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}, 60_000);

async function click(count: number): Promise<void> {
  const body = JSON.stringify({ ad_id: AD, count });
  const issued = await fetch(`${local.url}/v1/impressions`, { method: "POST", headers, body });
  const { impressions } = (await issued.json()) as { impressions: { click_url: string }[] };
  for (const { click_url: url } of impressions) {
    const { search } = new URL(url);
    const answer = await fetch(`${local.url}/click${search}`, { redirect: "manual" });
    expect(answer.status).toBe(302);
  }
}

/** Clicks by the second in which their span begins; a minute takes the place of its seconds. */
const spans = new Map<number, number>();
const sum = () => [...spans.values()].reduce((total, clicks) => total + clicks, 0);
let lastId: string | undefined;

function take(text: string): string | undefined {
  const fields = new Map(text.split("\n").map((line) => line.split(/: (.*)/s, 2) as [string, string]));
  lastId = fields.get("id") ?? lastId;
  const data = JSON.parse(fields.get("data") ?? "{}") as Record<string, string | number>;
  if (fields.get("event") === "second")
    spans.set(Date.parse(String(data["second"])), Number(data["clicks_per_second"]));
  if (fields.get("event") === "minute") {
    const [from, until] = [Date.parse(String(data["minute"])), Date.parse(String(data["until"]))];
    for (const at of spans.keys()) if (at >= from && at < until) spans.delete(at);
    spans.set(from, Number(data["clicks"]));
  }
  return fields.get("event") === "end" ? String(data["code"]) : undefined;
}

/** Until the server ends it: resolves with why. */
async function watch(): Promise<string | undefined> {
  const response = await fetch(`${local.url}/v1/reports/live?ad_id=${AD}`, {
    headers: lastId === undefined ? {} : { "last-event-id": lastId },
  });
  expect(response.status).toBe(200);
  return read(response.body!);
}

async function read(body: ReadableStream<Uint8Array>): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  let ended: string | undefined;
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    const events = text.split("\n\n");
    text = events.pop()!;
    for (const event of events) ended = take(event) ?? ended;
  }
  return ended;
}

test("a click is told as it is counted; after a restart a client that comes back has each once", async () => {
  const watching = watch();
  await expect.poll(() => lastId, WAIT).toBeDefined();
  await click(5);
  await expect.poll(sum, WAIT).toBe(5);
  await local.close();
  expect(await watching).toBe("DRAINING");

  local = await start();
  const before = lastId;
  const again = watch();
  await expect.poll(() => lastId, WAIT).not.toBe(before);
  await click(3);
  await expect.poll(sum, WAIT).toBe(8);
  await local.close();
  expect(await again).toBe("DRAINING");
  local = await start();
}, 120_000);
