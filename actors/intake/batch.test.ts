import { expect, it } from "vitest";
import { AdtallyError } from "../core/errors.ts";
import { Reason, Verdict } from "../core/verdict.ts";
import { createBatchIntake } from "./batch.ts";
import { ADS, NOW, codec, limits, openIntake, rawClick, tokenAt, uuidAt } from "./intake-fixture.ts";
import type { IdKey } from "../core/ids.ts";
import type { BatchSource } from "./batch.ts";
import type { AdOwner } from "./intake.ts";
import type { ClickParts } from "./intake-fixture.ts";
import type { Part } from "./row-gather.ts";

function sourceOf(clicks: readonly ClickParts[]): BatchSource {
  return { count: clicks.length, read: (index, into) => Object.assign(into, rawClick(clicks[index]!)) };
}

/** A batch intake over shards that accept all, which records what it asks of them. */
function open(inMemory: ReadonlyMap<IdKey, AdOwner>, stored: ReadonlyMap<IdKey, AdOwner>) {
  const submitted: Part[] = [];
  const loads: (readonly IdKey[])[] = [];
  const { intake } = openIntake(inMemory);
  const batches = createBatchIntake({
    intake,
    limits,
    load: (keys) => {
      loads.push(keys);
      return Promise.resolve(
        new Map(keys.flatMap((key) => (stored.has(key) ? [[key, stored.get(key)!]] : []))),
      );
    },
    submit: (part) => {
      submitted.push(part);
      const outcomes = new Uint8Array(2 * part.count);
      // Tells each row's shard back, so that a verdict in the wrong place shows.
      for (let row = 0; row < part.count; row++) outcomes.set([Verdict.ACCEPTED, part.shard], 2 * row);
      return Promise.resolve({ offset: 40 + submitted.length, outcomes });
    },
  });
  return { batches, submitted, loads };
}

const clickOf = (tail: number, adId = 1001n) => ({ token: codec.sign(2, adId, uuidAt(NOW, tail)) });

it("gives each click its own shard's verdict, in the order of the clicks", async () => {
  const { batches, submitted } = open(ADS, ADS);
  const clicks: ClickParts[] = Array.from({ length: 200 }, (_, tail) =>
    tail % 10 === 3 ? { token: Buffer.alloc(44) } : clickOf(tail),
  );
  const { verdicts, reasons } = await batches.take(sourceOf(clicks), NOW, false);
  expect(submitted.length).toBe(8);
  clicks.forEach((_, index) => {
    const part = submitted.find((each) => each.clicks.includes(index));
    const expected = part === undefined ? Verdict.BAD_SIGNATURE : Verdict.ACCEPTED;
    expect([verdicts[index], reasons[index]]).toEqual([
      expected,
      part?.shard ?? Reason.TOKEN_VERSION_UNKNOWN,
    ]);
  });
});

it("N5 asks the catalogue once for all ads that are not in memory", async () => {
  const { batches, loads, submitted } = open(new Map(), ADS);
  const clicks = [clickOf(1), clickOf(2, 5n), clickOf(3), { token: tokenAt(NOW, 5n) }];
  const { verdicts } = await batches.take(sourceOf(clicks), NOW, false);
  expect(loads).toEqual([[1001, 5]]);
  expect([...verdicts]).toEqual([Verdict.ACCEPTED, Verdict.UNKNOWN_AD, Verdict.ACCEPTED, Verdict.UNKNOWN_AD]);
  expect(submitted.flatMap((part) => [...part.clicks]).sort()).toEqual([0, 2]);
});

it("B1 a batch with a malformed click, or without a catalogue, leaves nothing behind", async () => {
  const { batches, submitted } = open(ADS, ADS);
  const torn: BatchSource = {
    count: 2,
    read(index, into) {
      if (index === 1) throw new AdtallyError("INPUT_INVALID", "torn");
      Object.assign(into, rawClick(clickOf(1)));
    },
  };
  await expect(batches.take(torn, NOW, false)).rejects.toMatchObject({ code: "INPUT_INVALID" });
  expect(submitted).toEqual([]);
  const { verdicts } = await batches.take(sourceOf([clickOf(2)]), NOW, false);
  expect([...verdicts]).toEqual([Verdict.ACCEPTED]);
  expect(submitted.map((part) => part.count)).toEqual([1]);
});

it("B3 a batch that one shard refuses is refused as a whole", async () => {
  const { intake } = openIntake();
  const submit = (part: Part) =>
    part.shard % 2 === 0
      ? Promise.reject(new AdtallyError("OVERLOADED", "full", { retryAfterMs: 5 }))
      : Promise.resolve({ offset: 0, outcomes: new Uint8Array(2 * part.count) });
  const batches = createBatchIntake({ intake, limits, load: () => Promise.resolve(new Map()), submit });
  const clicks = Array.from({ length: 50 }, (_, tail) => clickOf(tail));
  await expect(batches.take(sourceOf(clicks), NOW, false)).rejects.toMatchObject({ code: "OVERLOADED" });
});

it("tells the place of what was kept, and none when nothing was", async () => {
  const { batches, submitted } = open(ADS, ADS);
  const kept = await batches.take(sourceOf([clickOf(1)]), NOW, false);
  expect(kept.place).toEqual({ shard: submitted[0]!.shard, offset: 41 });
  expect((await batches.take(sourceOf([{}]), NOW, false)).place).toBeUndefined();
});
