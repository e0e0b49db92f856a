import { expect, test } from "vitest";
import type { ReplayRecord } from "../../actors/adapters/clickhouse/replays.ts";
import { createApi } from "../../actors/adapters/http/api.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import type { DeadLetter, DeadLetters } from "../../actors/dead-letters/dead-letters.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import { deadLetterRoutes } from "./dead-letter-routes.ts";

const HUGE_OFFSET = Number.MAX_SAFE_INTEGER;
const letter = (n: number): DeadLetter => ({
  id: `2-0-${n}`,
  impressionId: `019bf000-0000-7000-8000-00000000000${n}`,
  adId: 18_446_744_073_709_551_615n,
  campaignId: 1n,
  advertiserId: 1n,
  verdict: "LATE",
  reason: "CLICK_TIME_TOO_OLD",
  clickTimeMs: 0,
  receivedTimeMs: 0,
  shard: 2,
  logOffset: HUGE_OFFSET,
});
const letters: DeadLetters = {
  list: async () => [letter(1), letter(2)],
  replay: async (id) => ({
    id,
    verdict: "DEFERRED",
    reason: "NONE",
    shard: 2,
    logOffset: id === "2-0-1" ? HUGE_OFFSET : undefined,
  }),
};

function openApp(replays: ReplayRecord) {
  const { app, requireScope } = createApi({
    limits: DEFAULT_LIMITS,
    logger: silentLogger,
    metrics: createMetrics({ process: false }),
    authenticate: () => ({ keyId: "k", name: "admin", scopes: ["admin"], advertisers: "all" }),
    readiness: () => [],
    version: "0",
  });
  app.register(deadLetterRoutes({ deadLetters: letters, replays, requireScope, logger: silentLogger }));
  const headers = { authorization: "Bearer any" };
  return {
    get: (url: string) => app.inject({ method: "GET", url, headers }),
    post: (url: string) => app.inject({ method: "POST", url, headers }),
  };
}

const firstReplayed: ReplayRecord = {
  fatesOf: async () => new Map([[letter(1).impressionId, { replayed: true, counted: true }]]),
};

test("a listing did not say which letters were replayed", async () => {
  const listed = await openApp(firstReplayed).get("/v1/dead-letters");
  expect(listed.json()).toMatchObject({
    dead_letters: [
      { id: "2-0-1", replayed: true, impression_counted: true },
      { id: "2-0-2", replayed: false, impression_counted: false },
    ],
  });
});

test("without ClickHouse letters are listed, and nothing is claimed of their replay", async () => {
  const away = () => Promise.reject(new AdtallyError("COUNT_SINK_UNAVAILABLE", "away"));
  const listed = await openApp({ fatesOf: away }).get("/v1/dead-letters");
  expect(listed.statusCode).toBe(200);
  expect(listed.json()).toMatchObject({ dead_letters: [{ replayed: null, impression_counted: null }, {}] });
});

test("log_offset was a number here and a string in explanations", async () => {
  const app = openApp(firstReplayed);
  const listed = await app.get("/v1/dead-letters");
  expect(listed.json<{ dead_letters: { log_offset: unknown }[] }>().dead_letters[0]!.log_offset).toBe(
    String(HUGE_OFFSET),
  );
  const replayed = await app.post("/v1/dead-letters/2-0-1/replay");
  expect(replayed.json<{ log_offset: unknown }>().log_offset).toBe(String(HUGE_OFFSET));
  const deferred = await app.post("/v1/dead-letters/2-0-2/replay");
  expect(deferred.json()).not.toHaveProperty("log_offset");
});

test.each(["0", "1001", "-1", "1e2", "ten", "", "1&limit=2"])(
  "limit=%s was refused by a pattern, is refused in words",
  async (limit) => {
    const refused = await openApp(firstReplayed).get(`/v1/dead-letters?limit=${limit}`);
    expect(refused.statusCode).toBe(400);
    expect(refused.json<{ detail: string }>().detail).toMatch(
      /^limit (must be a whole number from 1 to 1000|stands in the URL more than once: give it once)$/,
    );
  },
);
