/**
 * Fault 15: clocks an hour off, and stepping. Two gateways (the real intake) and the shard's host
 * each have a clock of their own; the true time is the virtual clock's, and impressions carry it.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { createMemoryCountSink } from "../adapters/memory/memory-count-sink.ts";
import { createMemoryLog } from "../adapters/memory/memory-log.ts";
import { memoryShardStores } from "../adapters/memory/memory-shard-stores.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { reasonName, Verdict, verdictName } from "../core/verdict.ts";
import { HANDED_ON, outcomeReason, outcomeVerdict } from "../intake/intake.ts";
import { codec, NOW, openIntake, rawClick } from "../intake/intake-fixture.ts";
import { tableOf } from "../routing/table.ts";
import { uuidV7 } from "../sim/clicks.ts";
import { seededRandom } from "../sim/random.ts";
import { virtualClock } from "../sim/virtual-clock.ts";
import { shardIn } from "./shard.fixture.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const { clockSkewMs, tokenLifeMs } = DEFAULT_LIMITS;
const OTHER_AD = 2n ** 64n - 1n;
const seed = Number(process.env["ADTALLY_SEED"]);
/** Every ad on shard 0. */
const routing = (readAtMs: number) =>
  tableOf([{ number: 1, inForceFromMs: 0, shardCount: 1, splits: new Map() }], readAtMs);

async function openWorld() {
  const clock = virtualClock(NOW);
  const offsets = { gateway: 0, actor: 0 };
  const actorClock = { ...clock, now: () => clock.now() + offsets.actor };
  const stores = memoryShardStores();
  const [clicks, deadLetters, sink] = [createMemoryLog(), createMemoryLog(), createMemoryCountSink()];
  const disks = { clicks, deadLetters, sink, stores, shard: 0 };
  let shard = await shardIn({ ...disks, clock: actorClock });
  const random = seededRandom(seed);
  /** As the gateway learns it from its actor hosts: most of them are right, whatever this shard's clock says. */
  const isClockOff = () => Math.abs(offsets.gateway) > clockSkewMs;
  /** A click on an impression of that true time, as verdict and reason; a row where the shard had it. */
  async function click(token: Uint8Array, clickedAtMs = 0) {
    const receivedAtMs = clock.now() + offsets.gateway;
    const { intake, taking } = openIntake(undefined, routing(receivedAtMs), isClockOff);
    const outcome = intake.take(rawClick({ token, clickedAtMs }), { ...taking, receivedAtMs }, 0);
    if (outcome !== HANDED_ON) return [outcomeVerdict(outcome), outcomeReason(outcome)] as const;
    const [part] = taking.gather.drain();
    const { outcomes } = await shard.settled(shard.host.submit(part!));
    return [outcomes[0]!, outcomes[1]!] as const;
  }
  return {
    clock,
    offsets,
    click,
    token: (impressionMs: number, adId = 1001n) =>
      codec.sign(1, adId, uuidV7(impressionMs, random.bytes(10))),
    get shard() {
      return shard;
    },
    async restart() {
      await shard.host.abandon();
      shard = await shardIn({ ...disks, clock: actorClock });
    },
    disks,
  };
}

/** What a click may come to for a clock's sake; all of it says so. */
const BY_NAME = new Set<string>([
  "REFUSED IMPRESSION_IN_FUTURE",
  "REFUSED CLICK_TIME_IN_FUTURE",
  "REFUSED CLICK_BEFORE_IMPRESSION",
  "REFUSED RECEIVED_IN_FUTURE",
  "REFUSED GATEWAY_CLOCK_OFF",
  "EXPIRED TOKEN_EXPIRED",
  "EXPIRED HELD_PAST_RETENTION",
  "LATE CLICK_TIME_TOO_OLD",
]);
const ANY_WAY: readonly (readonly [
  gateway: number,
  actor: number,
  age: number,
  client: number | undefined,
])[] = [
  [0, 0, 0, undefined],
  [0, 0, 3 * HOUR_MS, undefined],
  [0, 2 * HOUR_MS, HOUR_MS, undefined],
  [0, 0, -HOUR_MS, undefined],
  [0, 0, 0, HOUR_MS],
  [0, 0, 0, -HOUR_MS],
  [0, -HOUR_MS, 0, undefined],
  [HOUR_MS, 0, 0, undefined],
  [-HOUR_MS, 0, HOUR_MS / 2, undefined],
  [0, 0, HOUR_MS, -HOUR_MS / 2],
];
const named = ([verdict, reason]: readonly [number, number]) =>
  `${verdictName(verdict)} ${reasonName(reason)}`;

test("fault 15: whatever the clocks of gateway, shard and client say, a click counts in its own minute or is refused by name", async () => {
  const offset = fc.integer({ min: -150 * MINUTE_MS, max: 150 * MINUTE_MS });
  const ages = fc.integer({ min: -2 * HOUR_MS, max: tokenLifeMs + 2 * HOUR_MS });
  const came = { accepted: 0, refused: new Set<string>() };
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.constant(0), offset),
      fc.oneof(fc.constant(0), offset),
      ages,
      fc.option(offset, { nil: undefined }),
      async (gateway, actor, age, client) => {
        const world = await openWorld();
        Object.assign(world.offsets, { gateway, actor });
        const clickedAtMs = client === undefined ? 0 : NOW + client;
        // The shard's clock tells in the log from its first block on.
        await world.click(world.token(NOW, OTHER_AD));
        const outcome = await world.click(world.token(NOW + 100 - age), clickedAtMs);
        if (outcome[0] !== Verdict.ACCEPTED) {
          expect(BY_NAME).toContain(named(outcome));
          came.refused.add(named(outcome));
          return;
        }
        came.accepted += 1;
        await world.shard.settled(world.shard.host.flushCounts());
        const [row, ...others] = world.disks.sink.counts().filter(({ adId }) => adId !== OTHER_AD);
        expect(others).toEqual([]);
        // The minute that its client gave, or the true one, as far off as clocks are allowed to be.
        const meantMs = client === undefined ? NOW : NOW + client;
        expect(Math.abs(row!.minute * MINUTE_MS - meantMs)).toBeLessThanOrEqual(clockSkewMs + MINUTE_MS);
      },
    ),
    {
      seed,
      numRuns: 400,
      examples: ANY_WAY.map((each) => [...each] as [number, number, number, number | undefined]),
    },
  );
  // The fault fired in every way that it can.
  expect(came.accepted).toBeGreaterThan(1);
  expect([...came.refused].sort()).toEqual([...BY_NAME].sort());
});

test("fault 15: clocks that step by an hour, again and again, with crashes: each impression counts once, in its minute", async () => {
  const random = seededRandom(seed);
  const world = await openWorld();
  const { clock, disks, offsets } = world;
  const known: { readonly token: Uint8Array; accepted: number }[] = [];
  const trueMinutes = new Map<number, number>();
  const fired = { steps: 0, crashes: 0, refused: 0, duplicates: 0 };
  for (let step = 0; step < 600; step++) {
    const again = known.length > 0 && random.chance(0.3);
    const shown = again ? random.pick(known) : { token: world.token(clock.now()), accepted: 0 };
    if (!again) known.push(shown);
    const minute = Math.floor(clock.now() / MINUTE_MS);
    const [verdict] = await world.click(shown.token);
    if (verdict === Verdict.ACCEPTED) {
      shown.accepted += 1;
      trueMinutes.set(minute, (trueMinutes.get(minute) ?? 0) + 1);
    } else if (verdict === Verdict.DUPLICATE) fired.duplicates += 1;
    else fired.refused += 1;
    if (random.chance(0.03)) {
      fired.steps += 1;
      offsets.actor = random.pick([0, 0, HOUR_MS, -HOUR_MS]);
    }
    if (random.chance(0.03)) offsets.gateway = random.pick([0, 0, HOUR_MS, -HOUR_MS]);
    if (random.chance(0.02)) {
      fired.crashes += 1;
      await world.restart();
    }
    if (random.chance(0.05)) for (const actor of world.shard.host.actors.values()) actor.save();
    await clock.advance(random.below(20_000));
  }
  Object.assign(offsets, { actor: 0, gateway: 0 });
  await world.shard.settled(world.shard.host.flushCounts(), 1_000);
  const context = `seed ${seed}`;
  for (const value of Object.values(fired)) expect(value, context).toBeGreaterThan(0);
  expect(Math.max(...known.map(({ accepted }) => accepted)), context).toBe(1);
  const counted = new Map(disks.sink.counts().map(({ minute, clicks }) => [minute, clicks]));
  for (const [minute, clicks] of counted) if (clicks === 0) counted.delete(minute);
  expect(counted, context).toEqual(trueMinutes);
  // I2, whatever the clock says by which it is replayed.
  offsets.actor = -HOUR_MS;
  const anew = createMemoryCountSink();
  const second = await shardIn({ ...disks, sink: anew, stores: memoryShardStores(), clock });
  await second.settled(second.host.flushCounts(), 1_000);
  const plain = (sink: typeof anew) =>
    sink.counts().map((row) => `${row.minute} ${row.clicks} ${row.duplicates}`);
  expect(plain(anew).sort(), context).toEqual(plain(disks.sink).sort());
  await second.host.abandon();
});
