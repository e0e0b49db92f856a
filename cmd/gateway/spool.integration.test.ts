/** A gateway with its spool on a real disk, on real sockets: shards and log down, the disk full, a generation unknown. */
import { mkdtemp, readdir, rm, writeFile, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials, status as Status, type ServiceError } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createDirectShardPort } from "../../actors/adapters/direct/direct-shard-port.ts";
import { loadProtos, serviceOf } from "../../actors/adapters/grpc/protos.ts";
import { createMemoryCatalogue } from "../../actors/adapters/memory/memory-catalogue.ts";
import { MemoryShard } from "../../actors/adapters/memory/memory-shard.ts";
import type { ClickLog } from "../../actors/ports/click-log.ts";
import type { ShardPort } from "../../actors/ports/shard-port.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { issueImpressions } from "../../actors/placement/issue.ts";
import { createPlacementService } from "../../actors/placement/service.ts";
import { tableOf } from "../../actors/routing/table.ts";
import { systemClock, systemRandom } from "../../actors/runtime/clock.ts";
import { silentLogger as logger } from "../../actors/runtime/log.ts";
import { createSpillingShardPort } from "../../actors/spill/spilling-shard-port.ts";
import { startSpoolDrainer } from "../../actors/spill/spool-drainer.ts";
import { createTokenCodec } from "../../actors/token/token.ts";
import { Lifecycle } from "../lib/lifecycle.ts";
import type { Program } from "../lib/program.ts";
import { ask } from "./ask.ts";
import { createGateway } from "./gateway.ts";
import { openSpool } from "./spooling.ts";

const clock = systemClock;
const limits = { ...DEFAULT_LIMITS, drainDeadlineMs: 1_000 };
const AD = 1001n;
const DESTINATION = "https://shop.example/";
const SPOOL_MIB = 0.25;
const AGENT = "x".repeat(255);
const generation = (number: number) => {
  return { number, inForceFromMs: number - 1, shardCount: 4, splits: new Map<number, number>() };
};
const [one, two] = [
  tableOf([generation(1)], clock.now()),
  tableOf([generation(1), generation(2)], clock.now()),
];

async function open(dir: string) {
  let isDown = true;
  let table = one;
  const refuse = () => Promise.reject(new AdtallyError("LOG_UNAVAILABLE", "as ordered"));
  const shards = new Map([0, 1, 2, 3].map((n) => [n, new MemoryShard(clock, limits.mailboxMaxClicks)]));
  const direct = createDirectShardPort({ shards, clock, limits });
  const inner: ShardPort = {
    submit: (given) =>
      isDown ? Promise.reject(new AdtallyError("NOT_OWNER", "as ordered")) : direct.submit(given),
  };
  const spill: ClickLog = {
    append: refuse,
    read: refuse,
    bounds: refuse,
  };
  const life = new Lifecycle({ limits, drainNoticeMs: 0, clock, logger });
  const config = { dataDir: dir, spoolMaxMib: SPOOL_MIB };
  const spool = await openSpool({ clock, config, life, limits, logger } as Program<typeof config>);
  const common = { spill, limits, clock, logger };
  const port = createSpillingShardPort({ ...common, inner, spool: spool.log, writer: 5 });
  const drainer = await startSpoolDrainer({
    ...common,
    spool: spool.log,
    progress: spool.progress,
    target: inner,
    shards: () => [0, 1, 2, 3],
    table: () => table,
  });
  const codec = await createTokenCodec({ signingKeyId: 3, keys: new Map([[3, systemRandom(32)]]) });
  const catalogue = createMemoryCatalogue();
  const ad = { adId: AD, campaignId: 5n, advertiserId: 3n, destinationUrl: DESTINATION, title: "an ad" };
  await catalogue.put([ad]);
  const issue = {
    codec,
    table: () => two,
    random: systemRandom,
    limits,
    publicUrl: () => "http://localhost",
  };
  const gateway = createGateway({
    shardPort: port.patient,
    httpShardPort: port,
    catalogue,
    codec,
    routing: () => table,
    limits,
    clock,
    authenticate: () => undefined,
    placement: createPlacementService({ ...issue, catalogue, clock }),
    keepsUnrouted: true,
    httpHandler: (_request, response) => response.writeHead(404).end(),
    logger,
  });
  const { httpPort, grpcPort } = await gateway.listen({ host: "127.0.0.1", httpPort: 0, grpcPort: 0 });
  const client = new Client(`127.0.0.1:${grpcPort}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
  });
  const { path, requestSerialize, responseDeserialize } = serviceOf(loadProtos(), "ClickService")[
    "SubmitClick"
  ]!;
  const impression = (number: number) =>
    issueImpressions(
      { ...issue, table: () => (number === 1 ? one : two) },
      AD,
      1,
      clock.now(),
      clock.now(),
    )[0]!;
  return {
    life,
    spool,
    port,
    drainer,
    goUp: () => (isDown = false),
    publish: () => (table = two),
    accepted: () => [...shards.values()].reduce((sum, shard) => sum + shard.accepted(), 0),
    click: (number = 1, token = impression(number).tokenText) =>
      ask(httpPort, `/click?i=${token}`, { headers: { "user-agent": AGENT } }),
    impression,
    overGrpc: (number = 1) =>
      new Promise<ServiceError | object>((resolve) => {
        const request = { click: { token: impression(number).token } };
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, answer) =>
          resolve(error ?? answer ?? {}),
        );
      }),
    async close() {
      client.close();
      await gateway.drain();
      await drainer.stop();
      await life.stop();
    },
  };
}

let dir: string;
let world: Awaited<ReturnType<typeof open>>;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "adtally-spool-"));
  world = await open(dir);
});
afterEach(async () => {
  await world.close();
  await rm(dir, { recursive: true });
});

describe("a gateway whose shards and log are down", () => {
  test("with its spool full redirects uncounted and says so, acknowledges nothing over gRPC, and is not ready; then has room again", async () => {
    expect(await world.overGrpc()).toMatchObject({ verdict: "VERDICT_DEFERRED" });
    let kept = 1;
    let notKept = 0;
    while (notKept === 0) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => world.click()));
      for (const { status, headers } of answers) {
        expect([status, headers.location]).toEqual([302, DESTINATION]);
        if (headers["adtally-click"] === undefined) kept += 1;
        else {
          expect(headers["adtally-click"]).toBe("not-kept");
          notKept += 1;
        }
      }
      expect(kept).toBeLessThan(2_000);
    }
    expect(world.spool.usage().bytes).toBeLessThanOrEqual(world.spool.maxBytes);
    expect(world.port.stats).toMatchObject({ spooled: kept, notKept });
    expect(world.life.readiness()).toContainEqual(
      expect.stringMatching(/the spool takes no clicks: its files take \d+ bytes, of 262144 allowed/),
    );
    // One click is smaller than a turn's fifty: what is left of the room goes first.
    for (;;) {
      const answer = await world.overGrpc();
      if (!("code" in answer)) {
        kept += 1;
        continue;
      }
      expect(answer).toMatchObject({ code: Status.UNAVAILABLE });
      expect((answer as ServiceError).metadata.get("retry-after-ms")).toEqual(["5000"]);
      break;
    }

    world.goUp();
    await expect.poll(() => world.drainer.backlog(), { timeout: 15_000 }).toBe(0);
    expect(world.accepted()).toBe(kept);
    await expect
      .poll(() => world.spool.usage().bytes, { timeout: 20_000 })
      .toBeLessThan(world.spool.maxBytes / 4);
    expect((await readdir(join(dir, "spool"))).filter((name) => name.endsWith(".log"))).toHaveLength(1);
    expect(world.life.readiness()).not.toContainEqual(expect.stringContaining("spool"));
    expect((await world.click()).headers["adtally-click"]).toBeUndefined();
    expect(world.accepted()).toBe(kept + 1);
  });

  test("redirects a click of a generation that it does not know, and counts it once when it does", async () => {
    world.goUp();
    const { tokenText } = world.impression(2);
    for (let repeat = 0; repeat < 2; repeat++) {
      const { status, headers } = await world.click(2, tokenText);
      expect([status, headers.location, headers["adtally-click"]]).toEqual([302, DESTINATION, undefined]);
    }
    expect(await world.overGrpc(2)).toMatchObject({
      verdict: "VERDICT_REFUSED",
      reason: "REASON_GENERATION_UNKNOWN",
    });
    expect(await world.drainer.backlog()).toBe(2);
    expect(world.accepted()).toBe(0);
    world.publish();
    await expect.poll(() => world.drainer.backlog(), { timeout: 20_000 }).toBe(0);
    expect(world.accepted()).toBe(1);
    // The same link once more, now routed at once: it meets its copy.
    expect((await world.click(2, tokenText)).status).toBe(302);
    expect(world.accepted()).toBe(1);
  });

  test("fault 12: a note of what is drained whose digits changed is refused by name, not believed", async () => {
    await world.click();
    world.goUp();
    await expect.poll(() => world.drainer.backlog(), { timeout: 20_000 }).toBe(0);
    await world.close();
    const note = join(dir, "spool-progress.json");
    const text = await readFile(note, "utf8");
    await writeFile(note, text.replace(/": 1\b/, '": 7'));
    await expect(open(dir)).rejects.toThrow(/spool-progress.json.*remove it/s);
    await rm(note);
    world = await open(dir);
  });
});
