/** Faults 9, 10 and 11: ClickHouse behind a proxy that loses answers, refuses, hangs, and holds back. */
import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startTcpProxy, type TcpProxy } from "../../../testing/tcp-proxy.ts";
import { DEFAULT_LIMITS, type Limits } from "../../core/limits.ts";
import { Verdict } from "../../core/verdict.ts";
import { encodeCountRows } from "../../ports/count-rows.ts";
import { exampleCount } from "../../ports/count-sink.conformance.ts";
import { sleep, systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { ShardHost } from "../../shard/host.ts";
import { rowsOf, uuidV7, type SimClick } from "../../sim/clicks.ts";
import { seededRandom } from "../../sim/random.ts";
import { createMemoryLog } from "../memory/memory-log.ts";
import { memoryShardStores } from "../memory/memory-shard-stores.ts";
import { connectClickHouse, type ClickHouse } from "./client.ts";
import { createClickHouseCountSink } from "./count-sink.ts";
import { openEngineFixture, type EngineFixture } from "./engine.fixture.ts";
import { startRawIngester, type RawIngester } from "./raw-ingester.ts";

let fixture: EngineFixture;
let proxy: TcpProxy;
const clients: ClickHouse[] = [];

beforeEach(async () => {
  fixture = await openEngineFixture();
  proxy = await startTcpProxy({ targetPort: fixture.engine.port });
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await proxy.close();
  await fixture.close();
});

/** A client by way of the proxy. */
function throughProxy(
  options: { readonly attempts?: number; readonly deadlineMs?: number } = {},
): ClickHouse {
  const client = connectClickHouse({ url: `http://${proxy.address}`, ...options });
  clients.push(client);
  return client;
}
/** Whether a chunk begins the request of an insert into that table. */
const isInsertInto = (table: string) => (chunk: Buffer) =>
  chunk.subarray(0, 5).toString("latin1") === "POST " && chunk.includes(`INSERT+INTO+adtally.${table}+`);

/** Two shards that count, and an ingester beside them, all by way of the proxy. */
async function startCounting(clickhouse: ClickHouse, change: Partial<Limits> = {}) {
  const limits = { ...DEFAULT_LIMITS, countFlushIntervalMs: 50, rawIngestIntervalMs: 50, ...change };
  const shards = [0, 1];
  const clicks = createMemoryLog();
  const common = { limits, clock: systemClock, logger: silentLogger };
  const host = await ShardHost.start({
    ...common,
    shards: shards.map((shard) => ({ shard, epoch: 1 })),
    clicks,
    deadLetters: createMemoryLog(),
    spill: createMemoryLog(),
    stores: memoryShardStores(),
    sink: createClickHouseCountSink(clickhouse),
    random: (count) => randomBytes(count),
    defer: (run) => void setImmediate(run),
  });
  const ingester: RawIngester = await startRawIngester({ ...common, log: clicks, clickhouse, shards });
  const sent = { accepted: 0, rows: 0, bytes: 0, perAd: new Map<number, number>() };
  /** Fresh clicks over `ads` ads, and every tenth of them again. */
  async function click(count: number, ads: number): Promise<void> {
    const nowMs = systemClock.now();
    const batch: SimClick[] = Array.from({ length: count }, () => ({
      id: uuidV7(nowMs, randomBytes(10)),
      adId: 1_000 + Math.trunc(randomBytes(2).readUInt16LE() % ads),
      clickMs: nowMs,
      receivedMs: nowMs,
      userAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140",
    }));
    batch.push(...batch.filter((_, n) => n % 10 === 0));
    const shard = sent.rows % 2;
    const rows = rowsOf(batch, shard);
    const { outcomes } = await host.submit({ shard, rows, count: batch.length });
    batch.forEach(({ adId }, n) => {
      if (outcomes[n * 2] !== Verdict.ACCEPTED) return;
      sent.accepted += 1;
      sent.perAd.set(adId, (sent.perAd.get(adId) ?? 0) + 1);
    });
    sent.rows += batch.length;
    sent.bytes += rows.length;
  }
  return { host, ingester, sent, click, limits };
}

/** What queries see, not by way of the proxy. */
async function seen() {
  const [counts] = await fixture.clickhouse.rows<{ clicks: string; duplicates: string }>(
    "SELECT sum(clicks) AS clicks, sum(duplicates) AS duplicates FROM adtally.click_counts FINAL",
  );
  const [raw] = await fixture.clickhouse.rows<{ rows: string; counted: string }>(
    `SELECT count() AS rows, uniqExactIf(impression_id, verdict = 'ACCEPTED') AS counted FROM adtally.clicks_raw FINAL`,
  );
  return {
    clicks: Number(counts!.clicks),
    duplicates: Number(counts!.duplicates),
    rawRows: Number(raw!.rows),
    rawCounted: Number(raw!.counted),
  };
}

describe("fault 9: ClickHouse commits, the answer is lost", () => {
  test("the client sends the counts again, and the sum is unchanged", async () => {
    const sink = createClickHouseCountSink(throughProxy());
    proxy.loseAnswer(isInsertInto("click_counts"));
    await sink.writeCounts(
      encodeCountRows([exampleCount({ clicks: 5 }), exampleCount({ adId: 2n, clicks: 7 })]),
    );
    expect(proxy.lostAnswers).toBe(1);
    const [written] = await fixture.clickhouse.rows<{ rows: string }>(
      "SELECT sum(rows) AS rows FROM system.parts WHERE database = 'adtally' AND table = 'click_counts' AND active",
    );
    // It had been committed: both copies are there until a merge, one is seen.
    expect(Number(written!.rows)).toBe(4);
    expect((await seen()).clicks).toBe(12);
  });

  test("a caller that is told so sends older, equal and newer counts, and the newest is seen", async () => {
    const sink = createClickHouseCountSink(throughProxy({ attempts: 1 }));
    const write = (version: number) =>
      sink.writeCounts(encodeCountRows([exampleCount({ version, clicks: version })]));
    proxy.loseAnswer(isInsertInto("click_counts"));
    await expect(write(10)).rejects.toMatchObject({ code: "COUNT_SINK_UNAVAILABLE" });
    expect(proxy.lostAnswers).toBe(1);
    for (const version of [10, 11, 9]) await write(version);
    expect((await seen()).clicks).toBe(11);
  });

  test("counts, checkpoints, raw rows and progress, each in turn: all clicks are counted once", async () => {
    // One try a call: the flusher's and the ingester's own retries are what is tested.
    const { host, ingester, sent, click } = await startCounting(throughProxy({ attempts: 1 }));
    const tables = ["click_counts", "shard_checkpoints", "clicks_raw", "raw_ingest_progress"];
    for (const [n, table] of [...tables, ...tables].entries()) {
      proxy.loseAnswer(isInsertInto(table));
      await expect
        .poll(
          async () => {
            await click(20, 5);
            return proxy.lostAnswers;
          },
          { timeout: 15_000, interval: 20 },
        )
        .toBe(n + 1);
    }
    await host.drain();
    await ingester.drain();
    await ingester.stop();
    expect(await seen()).toEqual({
      clicks: sent.accepted,
      duplicates: sent.rows - sent.accepted,
      rawRows: sent.rows,
      rawCounted: sent.accepted,
    });
  });
});

describe("fault 10: ClickHouse is down for long", () => {
  test("counting goes on in bounded memory, then all of it catches up", async () => {
    const maxBytes = 256 * 1024;
    const inFlight = { bytes: 0, most: 0, failed: 0 };
    const client = throughProxy({ attempts: 2, deadlineMs: 1_000 });
    // Watched, not replaced: what the flusher and the ingester hold is what they hand in here.
    const watched: ClickHouse = {
      ...client,
      async insertBytes(sql, bytes, options) {
        const size = bytes.reduce((sum, { length }) => sum + length, 0);
        inFlight.bytes += size;
        inFlight.most = Math.max(inFlight.most, inFlight.bytes);
        try {
          await client.insertBytes(sql, bytes, options);
        } catch (error) {
          inFlight.failed += 1;
          throw error;
        } finally {
          inFlight.bytes -= size;
        }
      },
      // After a failed insert the flusher asks before it sends again: a question may fail as well.
      async rows<Row>(...question: Parameters<ClickHouse["rows"]>) {
        return client.rows<Row>(...question).catch((error: unknown) => {
          inFlight.failed += 1;
          throw error;
        });
      },
    };
    const { host, ingester, sent, click } = await startCounting(watched, { rawIngestMaxBytes: maxBytes });
    const ads = 50;
    await click(100, ads);
    await expect.poll(async () => (await seen()).clicks, { timeout: 10_000 }).toBe(sent.accepted);

    const clickFor = async (ms: number) => {
      const endAt = systemClock.monotonic() + ms;
      while (systemClock.monotonic() < endAt) {
        await click(500, ads);
        await sleep(systemClock, 10);
      }
    };
    const before = await seen();
    proxy.refuse();
    await clickFor(2_500);
    const refused = inFlight.failed;
    proxy.heal();
    proxy.hold("both");
    await clickFor(2_500);
    // How often they try in that time is the machine's affair; that they were refused is not.
    expect(refused).toBeGreaterThan(0);
    expect(inFlight.failed).toBeGreaterThan(refused);
    expect(host.faults).toEqual([]);
    // The backlog is far more than is held of it: windows of 50 ads over two minutes, one insert.
    expect(sent.bytes).toBeGreaterThan(8 * maxBytes);
    expect(inFlight.most).toBeLessThan(2 * maxBytes);
    expect((await seen()).clicks).toBe(before.clicks);

    proxy.heal();
    proxy.breakAll();
    await expect.poll(async () => (await seen()).rawRows, { timeout: 40_000, interval: 500 }).toBe(sent.rows);
    await host.drain();
    await ingester.stop();
    expect(inFlight.most).toBeLessThan(2 * maxBytes);
    expect(await seen()).toEqual({
      clicks: sent.accepted,
      duplicates: sent.rows - sent.accepted,
      rawRows: sent.rows,
      rawCounted: sent.accepted,
    });
    const perAd = await fixture.clickhouse.rows<{ ad: string; clicks: string }>(
      "SELECT ad_id AS ad, sum(clicks) AS clicks FROM adtally.click_counts FINAL GROUP BY ad_id",
    );
    expect(new Map(perAd.map(({ ad, clicks }) => [Number(ad), Number(clicks)]))).toEqual(sent.perAd);
  });
});

describe("fault 11: old counts arrive after newer ones", () => {
  test("in any order, twice, before and after a merge: the newest version of each window is seen", async () => {
    const sink = createClickHouseCountSink(throughProxy());
    const random = seededRandom(Number(process.env["ADTALLY_SEED"]));
    const rows = Array.from({ length: 30 }, (_, n) =>
      exampleCount({ adId: BigInt(1 + (n % 3)), version: 10 * n, clicks: n }),
    );
    const order = [...rows, ...rows].sort(() => random.next() - 0.5);
    let olderAfterNewer = 0;
    const newest = new Map<bigint, number>();
    for (const row of order) {
      if (row.version < (newest.get(row.adId) ?? -1)) olderAfterNewer += 1;
      newest.set(row.adId, Math.max(row.version, newest.get(row.adId) ?? -1));
      await sink.writeCounts(encodeCountRows([row]));
    }
    expect(olderAfterNewer).toBeGreaterThan(10);
    expect((await seen()).clicks).toBe(27 + 28 + 29);
    await fixture.clickhouse.command("OPTIMIZE TABLE adtally.click_counts FINAL");
    await sink.writeCounts(encodeCountRows([rows[0]!, rows[1]!, rows[2]!]));
    expect((await seen()).clicks).toBe(27 + 28 + 29);
  });

  test("a former owner's flush that the network held back changes nothing of what its successor wrote", async () => {
    const [log, stores] = [createMemoryLog(), memoryShardStores()];
    const limits = { ...DEFAULT_LIMITS, countFlushIntervalMs: 50 };
    const start = (clickhouse: ClickHouse, own: ReturnType<typeof memoryShardStores>) =>
      ShardHost.start({
        shards: [{ shard: 0, epoch: 1 }],
        limits,
        clicks: log,
        deadLetters: createMemoryLog(),
        spill: createMemoryLog(),
        stores: own,
        sink: createClickHouseCountSink(clickhouse),
        clock: systemClock,
        random: (count) => randomBytes(count),
        logger: silentLogger,
        defer: (run) => void setImmediate(run),
      });
    const nowMs = systemClock.now();
    const click = (host: ShardHost, count: number) => {
      const clicks = Array.from({ length: count }, () => {
        return { id: uuidV7(nowMs, randomBytes(10)), adId: 1_000, clickMs: nowMs, receivedMs: nowMs };
      });
      return host.submit({ shard: 0, rows: rowsOf(clicks, 0), count });
    };
    const former = await start(throughProxy(), stores);
    await click(former, 3);
    await expect.poll(async () => (await seen()).clicks, { timeout: 10_000 }).toBe(3);
    proxy.hold("to-server");
    await click(former, 4);
    await sleep(systemClock, 300);
    const successor = await start(fixture.clickhouse, memoryShardStores());
    await click(successor, 5);
    await expect.poll(async () => (await seen()).clicks, { timeout: 10_000 }).toBe(12);
    // Seven clicks as of the former owner's last look: written, and not what is seen.
    const held = async () => {
      const sql = "SELECT countIf(clicks = 7) AS rows FROM adtally.click_counts";
      const [found] = await fixture.clickhouse.rows<{ rows: string }>(sql);
      return Number(found!.rows);
    };
    expect(await held()).toBe(0);
    await fixture.clickhouse.command("SYSTEM STOP MERGES adtally.click_counts");
    proxy.heal();
    await expect.poll(held, { timeout: 10_000 }).toBeGreaterThan(0);
    expect((await seen()).clicks).toBe(12);
    await former.abandon();
    await successor.abandon();
  });
});
