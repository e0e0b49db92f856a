/** A shard whose log is gone before it was read: what its host tells, and what it does not do. */
import { expect, test } from "vitest";
import { sampleBlock } from "../../actors/ports/click-log.sample.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import { Lifecycle } from "./lifecycle.ts";
import { click, SHARD, shardIn } from "../../actors/shard/shard.fixture.ts";
import { observeShards } from "./shard-metrics.ts";

const DAY_MS = 24 * 3_600_000;

async function observed() {
  const world = await shardIn();
  const { clock, host, limits } = world;
  const metrics = createMetrics({ process: false });
  observeShards(metrics, host, [SHARD]);
  const life = new Lifecycle({ limits, drainNoticeMs: 0, clock, logger: silentLogger });
  life.check(() => host.faults);
  await life.start(() => Promise.resolve());
  const valueOf = async (name: string) => {
    const line = (await metrics.text())
      .split("\n")
      .find((each) => each.startsWith(`${name}{shard="${SHARD}"`));
    return Number(line?.split(" ").at(-1));
  };
  const alarm = async () => [await valueOf("adtally_shard_up"), await valueOf("adtally_shard_halted")];
  return { ...world, life, alarm };
}

test("fault 8: a shard whose offset retention took in mid-run halts with an alarm, and never jumps", async () => {
  const { alarm, clicks, clock, host, life, settled, sink, submit, verdicts } = await observed();
  await verdicts([click(), click()]);
  await settled(host.flushCounts());
  const { state } = host.actors.get(SHARD)!;
  expect([life.readiness(), await alarm()]).toEqual([[], [1, 0]]);

  // Another owner wrote meanwhile, and retention was faster than this one's next look.
  for (let n = 0; n < 3; n++) await clicks.append(SHARD, sampleBlock(n));
  clicks.dropBefore(SHARD, 3);
  const counted = sink.counts();
  await clock.advance(10_000);

  expect(await alarm()).toEqual([0, 1]);
  expect(life.readiness()).toEqual([expect.stringMatching(/^shard 5: .*offset 1/)]);
  await expect(submit([click()])).rejects.toMatchObject({ code: "SHARD_HALTED" });
  const { next } = await clicks.bounds(SHARD);
  await clock.advance(2 * DAY_MS);
  // It waits for a person: nothing is read over, appended, counted or started again.
  expect([state.nextOffset, (await clicks.bounds(SHARD)).next]).toEqual([1, next]);
  expect(sink.counts()).toEqual(counted);
  expect(await alarm()).toEqual([0, 1]);
  await host.abandon();
});

test("fault 8: a shard that begins behind what retention kept is not taken on, and says which offset it needs", async () => {
  const first = await shardIn();
  await first.verdicts([click()]);
  await first.host.drain();
  for (let n = 0; n < 3; n++) await first.clicks.append(SHARD, sampleBlock(n));
  first.clicks.dropBefore(SHARD, 3);
  const { next } = await first.clicks.bounds(SHARD);
  const starting = shardIn(first);
  await expect(starting).rejects.toMatchObject({
    code: "OFFSET_OUT_OF_RANGE",
    after: "halt",
    message: "shard 5 needs offset 1, the log begins at 3",
  });
  expect((await first.clicks.bounds(SHARD)).next).toBe(next);
});
