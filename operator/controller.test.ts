/** The loop over an API server in memory, by a clock that moves when told to. */
import { afterEach, describe, expect, it } from "vitest";
import type { RandomBytes } from "../actors/runtime/clock.ts";
import { silentLogger } from "../actors/runtime/log.ts";
import { virtualClock } from "../actors/sim/virtual-clock.ts";
import { act } from "./act/act.ts";
import { startController, type Outcome } from "./controller.ts";
import { clickClusters, configMaps, hotAdSplits, pathOf, services } from "./kube/resources.ts";
import { memoryServer } from "./memory-server.fixture.ts";
import { obedientHosts } from "./obedient-hosts.fixture.ts";
import { openCaches } from "./observe/caches.ts";
import { specOf, splitOf } from "./plan/histories.fixture.ts";
import { render } from "./render/render.ts";

const NAMESPACE = "ns";
const ROUND_MS = 2_000;
const START = Date.parse("2026-11-22T00:00:00Z");
const random: RandomBytes = (size) => Buffer.alloc(size, 0x80);
const term = { epoch: 1, assertHeld: () => undefined };
const cleanUps: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function world() {
  const clock = virtualClock(START);
  const server = memoryServer();
  const metadata = { name: "c", namespace: NAMESPACE };
  const path = pathOf(clickClusters, NAMESPACE, "c");
  server.put(path, { metadata, spec: specOf() } as object as Parameters<typeof server.put>[1]);
  const { client } = server;
  const deps = { client, clock, random, logger: silentLogger };
  const caches = openCaches({ ...deps, watchSeconds: 100_000, relistMs: 1e9 }, NAMESPACE);
  await clock.advance(1);
  const rounds: { readonly outcome: Outcome; readonly atMs: number }[] = [];
  const warnings: object[] = [];
  const hosts = obedientHosts();
  const events = { emit: () => undefined, settled: () => Promise.resolve() };
  const logger = {
    ...silentLogger,
    warn: (about: object) => void warnings.push(about),
  } as typeof silentLogger;
  const start = () => {
    const controller = startController({
      ...deps,
      logger,
      caches,
      events,
      dataPlane: hosts,
      leadership: { epoch: 1, assertHeld: term.assertHeld },
      roundMs: ROUND_MS,
      onRound: (outcome) => void rounds.push({ outcome, atMs: clock.monotonic() }),
    });
    cleanUps.push(() => controller.close());
  };
  cleanUps.push(() => caches.close());
  return { clock, server, caches, hosts, start, rounds, warnings, client, events, path };
}

describe("the loop", () => {
  it("I3 F1: what is refused for ever is tried no more often than a round is due, is told of, and the rest is done", async () => {
    const { clock, server, start, rounds, warnings } = await world();
    const refused = pathOf(services, NAMESPACE, "");
    server.refuses = ({ method, path }) => method === "PATCH" && path.startsWith(refused);
    start();
    await clock.advance(60_000);
    const state = [...server.objects].find(([path]) => path.startsWith(pathOf(configMaps, NAMESPACE, "c")));
    expect(state?.[1]).toMatchObject({ data: { "routing.json": expect.any(String) as string } });
    expect([...server.objects.keys()].filter((path) => path.startsWith(refused))).toEqual([]);
    expect(rounds.length).toBeLessThan(2 * (60_000 / ROUND_MS));
    expect(rounds.at(-1)?.outcome).toBe("conflict");
    expect(warnings[0]).toMatchObject({ action: expect.stringContaining("apply-object Service/") as string });
    server.refuses = () => false;
    await clock.advance(20_000);
    expect(rounds.at(-1)?.outcome).not.toBe("conflict");
  });

  it("a status that was written calls for no round: one is due when it is due", async () => {
    const { clock, server, start, rounds, path } = await world();
    start();
    await clock.advance(60_000);
    const before = rounds.length;
    for (let i = 0; i < 100; i += 1) {
      const found = server.objects.get(path)!;
      server.put(path, { ...found, status: { clicksPerSecond: i } } as typeof found);
      await clock.advance(100);
    }
    expect(rounds.length - before).toBeLessThanOrEqual(10_000 / ROUND_MS + 1);
    const found = server.objects.get(path)!;
    const calm = rounds.length;
    server.put(path, { ...found, metadata: { ...found.metadata, labels: { of: "somebody" } } });
    await clock.advance(60);
    expect(rounds.length).toBe(calm + 1);
  });

  it("changes that never cease put no round off", async () => {
    const { clock, server, start, rounds, path } = await world();
    start();
    await clock.advance(60_000);
    const before = rounds.length;
    for (let i = 0; i < 50; i += 1) {
      const found = server.objects.get(path)!;
      server.put(path, { ...found, metadata: { ...found.metadata, labels: { of: `somebody-${i}` } } });
      await clock.advance(20);
    }
    expect(rounds.length - before).toBeGreaterThan(5);
  });
});

describe("a HotAdSplit", () => {
  const spec = { clusterName: "c", adId: "7", ways: 8, origin: "Policy" } as const;

  async function scene(origin: "Hand" | "Policy" | undefined) {
    const { clock, server, caches, client, events, path } = await world();
    const splitPath = pathOf(hotAdSplits, NAMESPACE, "c-7");
    if (origin !== undefined) server.put(splitPath, splitOf("c-7", 7, 2, origin, START) as object as never);
    await clock.advance(1);
    const cluster = server.objects.get(path) as object as Parameters<typeof render>[0];
    const done = act(
      { client, caches, events, cluster, rendered: render(cluster), term },
      {
        kind: "apply-split",
        name: "c-7",
        spec,
        because: { reason: "AdSplitFurther", message: "" },
      },
    );
    return { done, server };
  }

  it("T2: one that the policy made is written by force, upon the version that was looked at", async () => {
    const { done, server } = await scene("Policy");
    await done;
    const { request } = server.writes.at(-1)!;
    expect(request.query).toMatchObject({ force: true });
    expect(request.body).toMatchObject({ metadata: { resourceVersion: expect.any(String) as string }, spec });
  });

  it("T2: one that is a person's is not written, and one that was not looked at not by force", async () => {
    const { done, server } = await scene("Hand");
    await expect(done).rejects.toMatchObject({ code: "KUBERNETES_CONFLICT" });
    expect(server.writes).toEqual([]);
    const other = await scene(undefined);
    await other.done;
    expect(other.server.writes.at(-1)?.request.query).toMatchObject({ force: false });
  });
});
