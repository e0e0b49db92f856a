import { describe, expect, test } from "vitest";
import { AdtallyError } from "../../actors/core/errors.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { virtualClock } from "../../actors/sim/virtual-clock.ts";
import { Lifecycle } from "./lifecycle.ts";

const limits = { drainDeadlineMs: 20_000, reconnectMinMs: 100, reconnectMaxMs: 1_000 };

function begin(drainNoticeMs = 0) {
  const clock = virtualClock(1_760_000_000_000);
  return { clock, life: new Lifecycle({ limits, drainNoticeMs, clock, logger: silentLogger }) };
}
const gone = () => Promise.reject(new AdtallyError("LOG_UNAVAILABLE", "no broker answers"));
const never = () => new Promise<void>(() => undefined);

describe("the start", () => {
  test("waits for a backend that is not there, says which, and goes on when it is", async () => {
    const { clock, life } = begin();
    let attempts = 0;
    const attempt = () => (++attempts < 6 ? gone() : Promise.resolve("there"));
    const started = life.start(() => life.waitFor("Kafka", attempt));
    await clock.advance(0);
    expect(life.readiness()).toEqual(["Kafka: no broker answers"]);
    // 100, 200, 400, 800, then 1,000 ms: no shorter, and never more than the bound.
    await clock.advance(2_499);
    expect([attempts, life.state]).toEqual([5, "starting"]);
    await clock.advance(1);
    expect(await started).toBe("there");
    expect([life.state, life.readiness()]).toEqual(["ready", []]);
  });

  test("has come up before it is ready, where it says so, and at its end at the latest", async () => {
    const { clock, life } = begin();
    let isThere = false;
    const started = life.start(async () => {
      await Promise.resolve();
      life.comeUp();
      await life.waitFor("the assignment", () => (isThere ? Promise.resolve() : gone()));
    });
    expect(life.isUp).toBe(false);
    await clock.advance(0);
    expect([life.isUp, life.state]).toEqual([true, "starting"]);
    isThere = true;
    await clock.advance(1_000);
    await started;
    const plain = begin().life;
    await plain.start(() => Promise.resolve());
    expect([life.isUp, plain.isUp]).toEqual([true, true]);
  });

  test("ends at once by what no waiting can mend", async () => {
    const { life } = begin();
    const refuse = () => Promise.reject(new AdtallyError("CONFIG_INVALID", "a topic is too small"));
    await expect(life.start(() => life.waitFor("Kafka", refuse))).rejects.toThrow("a topic is too small");
  });

  test("beside it a refusal stands in readiness, and the program lives on", async () => {
    const { life } = begin();
    const refuse = () => Promise.reject(new AdtallyError("SCHEMA_TOO_NEW", "newer tables"));
    await life.start(() => life.background("ClickHouse", refuse));
    expect(life.readiness()).toEqual(["ClickHouse: newer tables"]);
  });
});

describe("the stop", () => {
  test("goes backwards through what was started, each once", async () => {
    const { clock, life } = begin();
    const stopped: string[] = [];
    await life.start(async () => {
      for (const what of ["the log", "the shards", "gRPC"]) life.onStop(what, () => void stopped.push(what));
    });
    const ends = [life.stop(), life.stop()];
    await clock.advance(0);
    expect(await Promise.all(ends)).toEqual([true, true]);
    expect(stopped).toEqual(["gRPC", "the shards", "the log"]);
  });

  test("during a start ends its waiting, and stops what is there", async () => {
    const { clock, life } = begin(5_000);
    let stopped = false;
    const started = life.start(async () => {
      life.onStop("the port", () => void (stopped = true));
      await life.waitFor("Kafka", gone);
    });
    started.catch(() => undefined);
    await clock.advance(50);
    const ended = life.stop();
    await clock.advance(0);
    expect(await ended).toBe(true);
    expect(stopped).toBe(true);
    await expect(started).rejects.toMatchObject({ code: "ABORTED" });
  });

  test("is told by readiness for the notice, before anything is stopped", async () => {
    const { clock, life } = begin(3_000);
    let stopped = false;
    await life.start(async () => life.onStop("clicks", () => void (stopped = true)));
    const ended = life.stop();
    await clock.advance(2_999);
    expect([life.readiness(), stopped]).toEqual([["draining"], false]);
    await clock.advance(1);
    expect([await ended, stopped]).toEqual([true, true]);
  });

  test.each([
    ["hangs", never],
    ["fails", () => Promise.reject(new Error("disk full"))],
  ])("goes on past a part that %s, within the deadline, and is not clean", async (_, stop) => {
    const { clock, life } = begin();
    let stopped = false;
    await life.start(async () => {
      life.onStop("the first", () => void (stopped = true));
      life.onStop("the second", stop);
    });
    const ended = life.stop();
    await clock.advance(limits.drainDeadlineMs);
    await clock.advance(1);
    expect(await ended).toBe(false);
    expect(stopped).toBe(true);
  });
});
