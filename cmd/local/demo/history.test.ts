import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../../actors/core/limits.ts";
import { DEMO_ADS } from "./ads.ts";
import {
  HISTORY_ADS,
  HISTORY_MINUTES,
  HISTORY_SHARD,
  makeHistory,
  poisson,
  writeHistory,
} from "./history.ts";

const NOW = Date.UTC(2026, 10, 22, 1, 30, 30);

test("the past that is made up meets nothing that is counted, and says what it is", () => {
  expect(HISTORY_SHARD).toBeGreaterThanOrEqual(DEFAULT_LIMITS.maxShards);
  const clickable = new Set(
    DEMO_ADS.flatMap(({ adId, campaignId }) => [`ad ${adId}`, `campaign ${campaignId}`]),
  );
  for (const { adId, campaignId, title } of HISTORY_ADS) {
    expect(clickable).not.toContain(`ad ${adId}`);
    expect(clickable).not.toContain(`campaign ${campaignId}`);
    expect(title).toMatch(/\(demo data\)$/);
  }
  expect(new Set(HISTORY_ADS.map(({ advertiserId }) => advertiserId)).size).toBe(3);
});

test("it is the same each time, of whole minutes before now, each once", () => {
  const rows = makeHistory(NOW);
  expect(makeHistory(NOW)).toEqual(rows);
  const end = Math.floor(NOW / 60_000);
  expect(rows.every(({ minute }) => minute < end && minute >= end - HISTORY_MINUTES)).toBe(true);
  expect(new Set(rows.map(({ adId, minute }) => `${adId} ${minute}`)).size).toBe(rows.length);
  expect(rows.every(({ shard }) => shard === HISTORY_SHARD)).toBe(true);
});

test("events are as many as they are on average", () => {
  let state = 1;
  const random = () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
  const many = Array.from({ length: 20_000 }, () => poisson(3.5, random));
  expect(many.reduce((sum, events) => sum + events, 0) / many.length).toBeCloseTo(3.5, 1);
  expect(poisson(0, random)).toBe(0);
});

test.each([
  ["none of it", "0", 1],
  ["some of it", "17", 0],
])("into a database that has %s it is written, or left (%s rows)", async (_, rows, writes) => {
  let written = 0;
  const clickhouse = { rows: async <Row>() => [{ rows }] as Row[] };
  await writeHistory(clickhouse, { writeCounts: async () => void written++ }, NOW);
  expect(written).toBe(writes);
});
