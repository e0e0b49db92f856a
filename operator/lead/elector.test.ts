/** Leaders over one Lease, by virtual clocks that stand still for one or another of them. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AdtallyError } from "../../actors/core/errors.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { virtualClock } from "../../actors/sim/virtual-clock.ts";
import type { KubeClient } from "../kube/client.ts";
import { startElector, type Elector } from "./elector.ts";
import { claim, firstClaim, leaseTimes, type Lease } from "./lease.ts";

const START = Date.parse("2026-11-22T00:00:00Z");
const DURATION = 15_000;
const times = leaseTimes(DURATION);

/** An API server that holds one Lease; each request takes its time, and is refused while it is away. */
function leaseServer(clock: Clock) {
  let lease: Lease | undefined;
  let version = 0;
  const server = {
    isAway: false,
    /** Of one request. */
    delayMs: 5,
    get lease() {
      return lease;
    },
    remove: () => void (lease = undefined),
    client(isCutOff: () => boolean): KubeClient {
      const answer = (method: string, body: Lease): Lease => {
        if (server.isAway || isCutOff()) throw new AdtallyError("KUBERNETES_UNAVAILABLE", "away on purpose");
        if (method === "GET" && lease === undefined) throw new AdtallyError("NOT_FOUND", "no lease");
        if (method === "GET") return lease!;
        const isStale =
          method === "POST"
            ? lease !== undefined
            : lease === undefined || lease.metadata.resourceVersion !== body.metadata.resourceVersion;
        if (isStale) throw new AdtallyError("KUBERNETES_CONFLICT", "another version stands");
        version += 1;
        lease = { ...body, metadata: { ...body.metadata, resourceVersion: String(version) } };
        return lease;
      };
      return {
        send: <T>(method: string, _path: string, request: { readonly body?: object } = {}) =>
          new Promise<T>((resolve, reject) => {
            clock.after(server.delayMs, () => {
              try {
                const given = answer(method, request.body as Lease) as T;
                clock.after(server.delayMs, () => resolve(given));
              } catch (error) {
                clock.after(server.delayMs, () => reject(error));
              }
            });
          }),
        stream: () => Promise.resolve(),
        close: () => Promise.resolve(),
      };
    },
  };
  return server;
}

function world() {
  const clock = virtualClock(START);
  const server = leaseServer(clock);
  const cutOff = new Set<string>();
  const terms: number[] = [];
  const start = (identity: string): Elector =>
    startElector({
      client: server.client(() => cutOff.has(identity)),
      namespace: "adtally-system",
      name: "adtally-operator",
      identity,
      times,
      clock,
      random: (count) => Buffer.alloc(count, 0x80),
      logger: silentLogger,
      onChange: (epoch) => void (epoch !== undefined && terms.push(epoch)),
    });
  return { clock, server, cutOff, terms, start };
}

const leads = (elector: Elector): boolean => elector.epoch !== undefined;

describe("claim", () => {
  const held = { ...firstClaim("a", times, START), leaseTransitions: 7 };

  it("leaves a Lease to its holder until it was seen unchanged for its whole duration, and not a moment longer", () => {
    const at = (afterMs: number) =>
      claim({ spec: held, atMs: 1_000 }, "b", times, { monotonicMs: 1_000 + afterMs, nowMs: START });
    expect(at(DURATION - 1)).toBeUndefined();
    expect(at(DURATION)).toMatchObject({ holderIdentity: "b", leaseTransitions: 8 });
  });

  it("keeps the epoch of who holds it already, and counts one up of a Lease that was given back", () => {
    const at = { monotonicMs: 1_000, nowMs: START };
    expect(claim({ spec: held, atMs: 1_000 }, "a", times, at)?.leaseTransitions).toBe(7);
    const free = { ...held, holderIdentity: "" };
    expect(claim({ spec: free, atMs: 1_000 }, "b", times, at)?.leaseTransitions).toBe(8);
  });
});

describe("electors", () => {
  it("have one leader; another follows when it gives the Lease back, at once and by the next epoch", async () => {
    const { clock, start, terms } = world();
    const [a, b] = [start("a"), start("b")];
    await clock.advance(3_000);
    const [leader, other] = leads(a) ? [a, b] : [b, a];
    expect([leads(leader), leads(other)]).toEqual([true, false]);
    await clock.advance(10 * DURATION);
    expect(terms).toHaveLength(1);
    const closed = leader.close();
    await clock.advance(3_000);
    await closed;
    expect(other.epoch).toBe(terms[0]! + 1);
    const last = other.close();
    await clock.advance(3_000);
    await last;
  });

  it("leave a leader that is cut off in time: it stops acting before another begins", async () => {
    const { clock, cutOff, start, terms } = world();
    const a = start("a");
    await clock.advance(1_000);
    const b = start("b");
    cutOff.add("a");
    const epoch = a.epoch!;
    let stoppedAtMs = 0;
    for (let ms = 0; ms < 30_000 && !leads(b); ms += 100) {
      await clock.advance(100);
      if (leads(a)) stoppedAtMs = clock.monotonic();
    }
    expect(leads(b)).toBe(true);
    expect(clock.monotonic() - stoppedAtMs).toBeGreaterThanOrEqual(
      times.durationMs - times.renewDeadlineMs - 200,
    );
    expect(() => a.assertHeld(epoch)).toThrow("is held no more by epoch");
    expect(terms).toEqual([epoch, epoch + 1]);
  });

  it("begin a Lease that was deleted above every epoch before", async () => {
    const { clock, server, start, terms } = world();
    start("a");
    await clock.advance(3_000);
    server.remove();
    await clock.advance(120_000);
    expect(terms.at(-1)).toBeGreaterThanOrEqual(terms[0]!);
    expect(terms[0]).toBe(Math.floor(START / 60_000));
  });

  it("never lead two at once, and no epoch twice, whoever is cut off and when", async () => {
    const step = fc.record({
      who: fc.constantFrom("a", "b", "c"),
      isCut: fc.boolean(),
      isAway: fc.boolean(),
      delayMs: fc.integer({ min: 1, max: 2_500 }),
      forMs: fc.integer({ min: 100, max: 20_000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 15 }), async (steps) => {
        const { clock, cutOff, server, start, terms } = world();
        const electors = ["a", "b", "c"].map(start);
        for (const { who, isCut, isAway, delayMs, forMs } of steps) {
          if (isCut) cutOff.add(who);
          else cutOff.delete(who);
          Object.assign(server, { isAway, delayMs });
          for (let ms = 0; ms < forMs; ms += 500) {
            await clock.advance(500);
            expect(electors.filter(leads).length).toBeLessThanOrEqual(1);
          }
        }
        // One that lost its Lease and has it back, with nobody between, goes on in its term.
        expect(terms).toEqual([...terms].sort((x, y) => x - y));
        cutOff.clear();
        Object.assign(server, { isAway: false, delayMs: 5 });
        await clock.advance(3 * DURATION);
        expect(electors.filter(leads)).toHaveLength(1);
      }),
      { numRuns: 30 },
    );
  });
});
