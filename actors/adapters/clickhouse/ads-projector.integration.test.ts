import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { U64_MAX } from "../../core/ids.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { exampleAd } from "../../ports/catalogue.conformance.ts";
import { systemClock, type Clock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { openRocksCatalogue, type RocksCatalogue } from "../rocksdb/catalogue.ts";
import { startAdsProjector, type AdsProjector, type AdsProjectorOptions } from "./ads-projector.ts";
import { openEngineFixture, type EngineFixture } from "./engine.fixture.ts";

describe("ads projector", () => {
  let fixture: EngineFixture;
  let dir: string;
  let catalogue: RocksCatalogue;
  let projector: AdsProjector | undefined;

  beforeAll(async () => {
    fixture = await openEngineFixture();
  });
  afterAll(() => fixture.close());
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "adtally-ads-"));
    catalogue = await openRocksCatalogue({ dir, cacheAds: 10 });
  });
  afterEach(async () => {
    await projector?.stop();
    projector = undefined;
    await catalogue.close();
    await rm(dir, { recursive: true });
    for (const table of ["ads", "ads_projection_progress"])
      await fixture.clickhouse.command(`TRUNCATE TABLE adtally.${table}`);
  });

  const start = async (change: Partial<AdsProjectorOptions> = {}) => {
    await projector?.stop();
    const limits = { ...DEFAULT_LIMITS, adsProjectIntervalMs: 20 };
    const common = { changes: catalogue, clickhouse: fixture.clickhouse, clock: systemClock };
    projector = await startAdsProjector({ ...common, limits, logger: silentLogger, ...change });
    return projector;
  };
  const rows = () =>
    fixture.clickhouse.rows<Record<string, string>>(
      "SELECT ad_id, campaign_id, advertiser_id, title, destination_url FROM adtally.ads FINAL ORDER BY ad_id",
    );
  const titles = async () => (await rows()).map((row) => row["title"]);
  const insertedRows = async () => {
    const [found] = await fixture.clickhouse.rows<{ n: string }>("SELECT count() AS n FROM adtally.ads");
    return Number(found!.n);
  };

  test("V1 ads arrive as they are, and so do their changes, without being asked", async () => {
    const ads = [
      exampleAd(7n, { title: "" }),
      exampleAd(U64_MAX, { title: "Stiefel 🥾", destinationUrl: `https://x.example/${"y".repeat(2_000)}` }),
    ];
    await catalogue.put(ads);
    await start();
    const expected = ads.map((ad) => ({
      ad_id: String(ad.adId),
      campaign_id: String(ad.campaignId),
      advertiser_id: String(ad.advertiserId),
      title: ad.title,
      destination_url: ad.destinationUrl,
    }));
    await expect.poll(rows, { timeout: 20_000 }).toEqual(expected);
    await catalogue.put([exampleAd(7n, { title: "new" })]);
    await expect.poll(titles, { timeout: 20_000 }).toEqual(["new", "Stiefel 🥾"]);
  });

  test("V1, V5 more ads than an insert, a part and a turn take", async () => {
    await catalogue.put(Array.from({ length: 2_500 }, (_, n) => exampleAd(BigInt(n + 1))));
    const limits = { adsProjectBatchAds: 1_000, adsProjectIntervalMs: 20, importBatchAds: 300 };
    await (await start({ limits })).drain();
    expect(await titles()).toEqual(Array.from({ length: 2_500 }, (_, n) => `Ad ${n + 1}`));
    expect(projector!.progress()).toBe(2_500);
  });

  test("V2 after a restart it goes on where it was; rows sent again change nothing", async () => {
    await catalogue.put([exampleAd(1n), exampleAd(2n)]);
    await (await start()).drain();
    await (await start()).drain();
    expect(projector!.progress()).toBe(2);
    expect(await insertedRows()).toBe(2);
    // The crash between the rows and the record of them:
    await fixture.clickhouse.command("TRUNCATE TABLE adtally.ads_projection_progress");
    await catalogue.put([exampleAd(1n, { title: "new" })]);
    await (await start()).drain();
    expect(await titles()).toEqual(["new", "Ad 2"]);
  });

  test("V3 a wiped catalogue is copied from the start, though it has fewer changes than were copied", async () => {
    await catalogue.put(Array.from({ length: 10 }, (_, n) => exampleAd(BigInt(n + 1))));
    await (await start()).drain();
    await projector!.stop();
    await catalogue.close();
    await rm(dir, { recursive: true });
    catalogue = await openRocksCatalogue({ dir, cacheAds: 10 });
    await catalogue.put([exampleAd(3n, { title: "after the wipe" })]);
    await (await start()).drain();
    expect((await titles())[2]).toBe("after the wipe");
  });

  test("V3 a catalogue that was put back from a copy is copied again, now and after a restart", async () => {
    let back = 5;
    const older = { ...catalogue, identity: catalogue.identity, lastSequence: () => back };
    await catalogue.put(Array.from({ length: 10 }, (_, n) => exampleAd(BigInt(n + 1))));
    await (await start()).drain();
    const changesSince = (after: number, limit: number) =>
      catalogue.changesSince(after, limit).filter(({ sequence }) => sequence <= back);
    await (await start({ changes: { ...older, changesSince } })).drain();
    expect(projector!.progress()).toBe(5);
    back = 7;
    await start({ changes: { ...older, changesSince } });
    expect(projector!.progress()).toBeLessThanOrEqual(7);
    await projector!.drain();
    expect(await insertedRows()).toBeGreaterThanOrEqual(17);
  });

  test("V4 the newest state wins though the clock stepped back by an hour", async () => {
    const stepped: Clock = { ...systemClock, now: () => systemClock.now() - 3_600_000 };
    await catalogue.put([exampleAd(1n, { title: "old" })]);
    await (await start()).drain();
    await catalogue.put([exampleAd(1n, { title: "new" })]);
    await (await start({ clock: stepped })).drain();
    expect(await titles()).toEqual(["new"]);
    await catalogue.put([exampleAd(1n, { title: "newer" })]);
    await projector!.drain();
    expect(await titles()).toEqual(["newer"]);
  });

  test("it survives an engine that is killed", async () => {
    await start();
    process.kill(fixture.engine.pid()!, "SIGKILL");
    await catalogue.put([exampleAd(1n)]);
    await expect.poll(() => projector!.progress(), { timeout: 15_000 }).toBe(1);
    expect(await titles()).toEqual(["Ad 1"]);
  }, 20_000);

  test("V3 a catalogue that is exchanged while it runs is copied from its start", async () => {
    await catalogue.put([exampleAd(1n, { title: "first" }), exampleAd(2n, { title: "first" })]);
    const otherDir = await mkdtemp(join(tmpdir(), "adtally-ads-"));
    const other = await openRocksCatalogue({ dir: otherDir, cacheAds: 10 });
    await other.put([exampleAd(1n, { title: "second" })]);
    let now = catalogue;
    const changes = {
      get identity() {
        return now.identity;
      },
      lastSequence: () => now.lastSequence(),
      changesSince: (sequence: number, limit: number) => now.changesSince(sequence, limit),
    };
    await (await start({ changes })).drain();
    expect(await titles()).toEqual(["first", "first"]);
    now = other;
    await expect.poll(titles, { timeout: 20_000 }).toEqual(["second", "first"]);
    await projector!.stop();
    await other.close();
    await rm(otherDir, { recursive: true });
  });
});
