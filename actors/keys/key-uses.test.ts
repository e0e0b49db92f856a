import { expect, test } from "vitest";
import { AdtallyError } from "../core/errors.ts";
import { silentLogger } from "../runtime/log.ts";
import { startKeyUses } from "./key-uses.ts";

function uses() {
  const written: (readonly (readonly [string, number])[])[] = [];
  let isDown = false;
  let minute = () => {};
  const started = startKeyUses({
    store: {
      noteUses: async (noted) => {
        if (isDown) throw new AdtallyError("LOG_UNAVAILABLE", "away");
        written.push([...noted]);
      },
    },
    limits: { keyUseIntervalMs: 60_000 },
    clock: {
      every: (_, run) => {
        minute = run;
        return { cancel: () => (minute = () => {}) };
      },
    },
    logger: silentLogger,
  });
  const setDown = (down: boolean) => (isDown = down);
  return { ...started, written, setDown, pass: () => minute() };
}

test("U1 a thousand uses within a minute are one write, and a minute without any is none", async () => {
  const { pass, used, written } = uses();
  for (let ms = 0; ms < 1_000; ms++) used("a", ms);
  used("b", 5);
  expect(written).toEqual([]);
  pass();
  pass();
  await expect
    .poll(() => written)
    .toEqual([
      [
        ["a", 999],
        ["b", 5],
      ],
    ]);
});

test("U2 what could not be written goes with the next, unless a later use is known", async () => {
  const { flush, setDown, stop, used, written } = uses();
  setDown(true);
  used("a", 1);
  used("b", 2);
  await flush();
  setDown(false);
  used("a", 9);
  await stop();
  expect(new Map(written.flat())).toEqual(
    new Map([
      ["a", 9],
      ["b", 2],
    ]),
  );
});
