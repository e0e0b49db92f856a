import { expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { silentLogger, type Logger } from "../../runtime/log.ts";
import { virtualClock } from "../../sim/virtual-clock.ts";
import { watchExpiry } from "./expiry.ts";
import type { Certificates } from "./certificates.ts";
import type { AnyFiles, Material } from "./material.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const limits = { ...DEFAULT_LIMITS, certificatePollMs: HOUR_MS };

function watch(lifetimeMs: number) {
  const clock = virtualClock(1_800_000_000_000);
  const said: string[] = [];
  const tell = (level: string) => (fields: object, message: string) =>
    void said.push(`${level} ${String((fields as { daysLeft: number }).daysLeft)} ${message.split(":")[0]!}`);
  const logger: Logger = { ...silentLogger, warn: tell("warn"), error: tell("error") };
  const valid = () => ({ notAfterMs: clock.now() + lifetimeMs, lifetimeMs }) as Material<AnyFiles>;
  const set = { files: { caPath: "/ca.crt" }, current: valid() };
  const sets = new Map([["kafka", set as unknown as Certificates<AnyFiles>]]);
  const watching = watchExpiry({ sets, limits, clock, logger });
  return { clock, said, renew: () => (set.current = valid()), close: () => watching.close() };
}

it("says nothing for long, then every six hours, louder once it is over, and no more once it is renewed", async () => {
  const { clock, said, renew, close } = watch(90 * DAY_MS);
  await clock.advance(76 * DAY_MS - HOUR_MS);
  expect(said).toEqual([]);
  await clock.advance(8 * HOUR_MS);
  expect(said).toEqual(["warn 14 certificates expire soon", "warn 13 certificates expire soon"]);
  await clock.advance(14 * DAY_MS);
  expect(said.at(-1)).toBe("error -1 certificates have expired");
  expect(said.length).toBeLessThan(60);
  renew();
  said.length = 0;
  await clock.advance(DAY_MS);
  expect(said).toEqual([]);
  close();
});

it("waits for the last third of a life that is short", async () => {
  const { clock, said, close } = watch(24 * HOUR_MS);
  await clock.advance(15 * HOUR_MS);
  expect(said).toEqual([]);
  await clock.advance(HOUR_MS);
  expect(said).toEqual(["warn 0 certificates expire soon"]);
  close();
  await clock.advance(DAY_MS);
  expect(said).toHaveLength(1);
});

it("tells at once what expires soon at the start", () => {
  const { said, close } = watch(-1);
  expect(said).toEqual(["error -1 certificates have expired"]);
  close();
});
