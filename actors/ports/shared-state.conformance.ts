/**
 * What every SharedState adapter must do: H1 to H4 of shared-state.ts, under faults. A fault that
 * an adapter has no hook for is skipped, and the test's name says so.
 */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isAdtallyError } from "../core/errors.ts";
import type { SharedState } from "./shared-state.ts";

export interface SharedStateHarness {
  /** The same document as another program sees it; a new one with each call. */
  open(): SharedState;
  /** Makes the store unreachable. */
  cut?(): Promise<void>;
  heal?(): Promise<void>;
  /** The store loses all that it held, and serves on. */
  forget?(): Promise<void>;
  close(): Promise<void>;
}

export interface SharedStateFactory {
  readonly hooks: readonly (keyof SharedStateHarness)[];
  /** The longest that a call may take with the store gone. */
  readonly deadlineMs: number;
  /** The longest until a watcher has a change, the store being well again. */
  readonly soonMs: number;
  /** Histories of the randomised test. */
  readonly runs: number;
  make(): Promise<SharedStateHarness>;
}

const MARGIN_MS = 400;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, withinMs: number, holds: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > giveUpAt) throw new Error(`${what}: not within ${withinMs} ms`);
    await pause(2);
  }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "resolved";
  } catch (error) {
    if (isAdtallyError(error)) return error.code;
    throw error;
  }
}

export function describeSharedState(name: string, factory: SharedStateFactory): void {
  const { hooks, deadlineMs, soonMs } = factory;
  const withHooks = (needed: readonly (keyof SharedStateHarness)[]) => {
    const lacking = needed.filter((hook) => !hooks.includes(hook));
    return (title: string, run: () => Promise<void>): void => {
      if (lacking.length === 0) it(title, run);
      else it.skip(`${title} (skipped: this adapter has no ${lacking.join(", ")} hook)`, run);
    };
  };

  describe(`${name} is a SharedState`, () => {
    let harness: SharedStateHarness;
    beforeEach(async () => {
      harness = await factory.make();
    });
    afterEach(() => harness.close());

    const watched = (state: SharedState) => {
      const texts: string[] = [];
      const watch = state.watch((text) => texts.push(text));
      return { texts, close: () => watch.close(), last: () => texts.at(-1) };
    };
    const untilLast = (watcher: ReturnType<typeof watched>, text: string) =>
      until(`the watcher has ${text.slice(0, 20)}`, soonMs, () => watcher.last() === text);

    describe("H1: read gives the last published text", () => {
      it("is undefined before the first", async () => {
        expect(await harness.open().read()).toBeUndefined();
      });

      it("finds it in the publisher, in other programs, and in those that come later", async () => {
        const [publisher, other] = [harness.open(), harness.open()];
        for (const text of ["one", "", 'Größe "€" 漢字\n\u0000', "x".repeat(1_000_000), "one"]) {
          await publisher.publish(text);
          for (const state of [publisher, other, harness.open()]) expect(await state.read()).toBe(text);
        }
      });

      it("keeps the last one called of publications that overlap", async () => {
        const publisher = harness.open();
        await Promise.all(["a", "b", "c"].map((text) => publisher.publish(text)));
        expect(await harness.open().read()).toBe("c");
      });

      it("takes over from another publisher", async () => {
        const [first, second] = [harness.open(), harness.open()];
        await first.publish("of the first");
        await second.publish("of the second");
        expect(await first.read()).toBe("of the second");
        await first.publish("of the first again");
        expect(await second.read()).toBe("of the first again");
      });
    });

    describe("H4: of those who replace one text at the same time one succeeds", () => {
      it("replaces what stands, and nothing else", async () => {
        const [one, other] = [harness.open(), harness.open()];
        expect(await one.replace("never published", "x")).toBe(false);
        expect(await one.replace(undefined, "first")).toBe(true);
        expect(await other.replace(undefined, "x")).toBe(false);
        expect(await other.replace("first", "second")).toBe(true);
        expect(await one.replace("first", "x")).toBe(false);
        expect(await one.read()).toBe("second");
        const watcher = watched(harness.open());
        expect(await one.replace("second", "third")).toBe(true);
        await untilLast(watcher, "third");
      });

      it("lets one of many win, and shows the others what won", async () => {
        let stands: string | undefined;
        for (let round = 0; round < 8; round += 1) {
          const programs = Array.from({ length: 6 }, () => harness.open());
          const won = await Promise.all(programs.map((state, i) => state.replace(stands, `${round}/${i}`)));
          expect(won.filter(Boolean)).toHaveLength(1);
          stands = `${round}/${won.indexOf(true)}`;
          for (const state of programs) expect(await state.read()).toBe(stands);
        }
      });
    });

    describe("H2: a watcher has the newest text soon, and never an older one after a newer one", () => {
      it("is called with the current text first", async () => {
        await harness.open().publish("current");
        const watcher = watched(harness.open());
        await untilLast(watcher, "current");
        expect(watcher.texts).toEqual(["current"]);
      });

      it("is not called before the first text, and then with each that it sees", async () => {
        const state = harness.open();
        const watcher = watched(state);
        await pause(50);
        expect(watcher.texts).toEqual([]);
        await harness.open().publish("first");
        await untilLast(watcher, "first");
        await harness.open().publish("second");
        await untilLast(watcher, "second");
        expect(watcher.texts).toEqual(["first", "second"]);
      });

      it("ends a burst at its last text, in rising order, whoever watches", async () => {
        const publisher = harness.open();
        const watchers = [watched(publisher), watched(harness.open()), watched(harness.open())];
        for (let text = 1; text <= 60; text += 1) await publisher.publish(String(text));
        for (const watcher of watchers) {
          await untilLast(watcher, "60");
          const seen = watcher.texts.map(Number);
          expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
        }
      });

      it("calls a second watcher of the same program too, and none that was closed", async () => {
        const state = harness.open();
        const [stays, leaves] = [watched(state), watched(state)];
        await harness.open().publish("1");
        await untilLast(stays, "1");
        await untilLast(leaves, "1");
        leaves.close();
        const late = watched(state);
        await untilLast(late, "1");
        await harness.open().publish("2");
        await untilLast(stays, "2");
        await untilLast(late, "2");
        expect(leaves.texts).toEqual(["1"]);
      });

      it("goes on when a watcher throws", async () => {
        const state = harness.open();
        state.watch(() => {
          throw new Error("thrown by a watcher on purpose");
        });
        const watcher = watched(state);
        await harness.open().publish("1");
        await untilLast(watcher, "1");
        await harness.open().publish("2");
        await untilLast(watcher, "2");
      });
    });

    describe("H3: the store is gone", () => {
      withHooks(["cut", "heal"])(
        "calls fail within their deadline; watchers keep, then catch up",
        async () => {
          const [publisher, other] = [harness.open(), harness.open()];
          await publisher.publish("before");
          const watcher = watched(other);
          await untilLast(watcher, "before");
          await harness.cut!();
          const late = watched(harness.open());
          for (const call of [
            () => other.read(),
            () => publisher.publish("lost"),
            () => harness.open().read(),
          ]) {
            const started = performance.now();
            expect(await codeOf(call())).toBe("SHARED_STATE_UNAVAILABLE");
            expect(performance.now() - started).toBeLessThan(deadlineMs + MARGIN_MS);
          }
          expect(watcher.last()).toBe("before");
          expect(late.texts).toEqual([]);
          await harness.heal!();
          const giveUpAt = performance.now() + soonMs;
          while ((await codeOf(publisher.publish("after"))) !== "resolved") {
            expect(performance.now()).toBeLessThan(giveUpAt);
            await pause(20);
          }
          await untilLast(watcher, "after");
          await untilLast(late, "after");
        },
      );

      withHooks(["forget"])(
        "a store that forgot has the last text back, and watchers lose nothing",
        async () => {
          const [publisher, other] = [harness.open(), harness.open()];
          await publisher.publish("kept");
          const watcher = watched(other);
          await untilLast(watcher, "kept");
          await harness.forget!();
          const newcomer = watched(harness.open());
          await untilLast(newcomer, "kept");
          await harness.forget!();
          await publisher.publish("next");
          await untilLast(watcher, "next");
          expect(watcher.texts).toEqual(["kept", "next"]);
        },
      );
    });

    it("holds through any history of publications and faults", { timeout: 120_000 }, async () => {
      // One publishes (as the port says), and is started anew now and then.
      const kinds = ["publish", "publish", "publish", "restart", "pause", "watch", "read"] as const;
      const faults = (["cut", "heal", "forget"] as const).filter((hook) => hooks.includes(hook));
      const step = fc.record({ kind: fc.constantFrom(...kinds, ...faults), program: fc.nat(2) });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
          const own = await factory.make();
          try {
            const programs = [own.open(), own.open(), own.open()];
            const watchers = programs.map(watched);
            let sent = 0;
            for (const { kind, program } of steps) {
              const state = programs[program]!;
              if (kind === "publish") {
                sent += 1;
                await codeOf(programs[0]!.publish(String(sent)));
              } else if (kind === "restart") {
                await pause(5);
                programs[0] = own.open();
              } else if (kind === "pause") await pause(30);
              else if (kind === "watch") watchers.push(watched(state));
              else if (kind === "read") await codeOf(state.read());
              else await own[kind]!();
            }
            await own.heal?.();
            // One that goes through for certain: all must end there.
            const giveUpAt = performance.now() + soonMs;
            for (sent += 1; (await codeOf(programs[0]!.publish(String(sent)))) !== "resolved"; sent += 1) {
              expect(performance.now()).toBeLessThan(giveUpAt);
              await pause(10);
            }
            for (const watcher of watchers) {
              await untilLast(watcher, String(sent));
              const seen = watcher.texts.map(Number);
              expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
            }
            expect(Number(await own.open().read())).toBe(sent);
          } finally {
            await own.close();
          }
        }),
        { numRuns: factory.runs, endOnFailure: true },
      );
    });
  });
}
