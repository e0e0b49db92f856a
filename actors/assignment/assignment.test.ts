import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  assign,
  decodeAssignment,
  encodeAssignment,
  moveOf,
  NO_ASSIGNMENT,
  type Assignment,
} from "./assignment.ts";

const hostsOf = (count: number) =>
  new Map(Array.from({ length: count }, (_, i): [string, string] => [`actor-${i}`, `127.0.0.1:${7070 + i}`]));
const shardsOf = (count: number) => Array.from({ length: count }, (_, shard) => shard);
const loads = ({ hosts, shards }: Assignment) =>
  [...hosts.keys()].map((host) => [...shards.values()].filter((owner) => owner.host === host).length);

describe("assign", () => {
  test("through any changes: all shards owned, even loads, epochs rise with a move and only then", () => {
    const change = fc.record({
      hosts: fc.integer({ min: 1, max: 9 }),
      shards: fc.integer({ min: 1, max: 40 }),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
        let current = NO_ASSIGNMENT;
        for (const { hosts, shards } of changes) {
          const next = assign(current, hostsOf(hosts), shardsOf(shards));
          expect(next.version).toBe(current.version + 1);
          expect([...next.shards.keys()]).toEqual(shardsOf(shards));
          expect(Math.max(...loads(next)) - Math.min(...loads(next))).toBeLessThanOrEqual(1);
          for (const [shard, owner] of next.shards) {
            const before = current.shards.get(shard);
            expect(owner.epoch).toBe(before?.host === owner.host ? before.epoch : next.version);
          }
          current = next;
        }
      }),
    );
  });

  test("the same hosts and shards again move nothing", () => {
    const first = assign(NO_ASSIGNMENT, hostsOf(3), shardsOf(12));
    expect(assign(first, hostsOf(3), shardsOf(12)).shards).toEqual(first.shards);
  });

  test("one host more takes its share and no shard moves between the others", () => {
    const first = assign(NO_ASSIGNMENT, hostsOf(3), shardsOf(12));
    const next = assign(first, hostsOf(4), shardsOf(12));
    for (const [shard, { host }] of next.shards) {
      if (host !== "actor-3") expect(first.shards.get(shard)!.host).toBe(host);
    }
    expect(loads(next)).toEqual([3, 3, 3, 3]);
  });
});

describe("what a host does about a shard", () => {
  const me = "actor-0";
  const shard = 3;
  const given = (version: number, owner?: { host: string; epoch: number }): Assignment => ({
    version,
    hosts: hostsOf(2),
    shards: new Map(owner === undefined ? [] : [[shard, owner]]),
  });
  const of = (held: number | undefined, assignment: Assignment) => moveOf(me, shard, held, assignment);

  test.each<[string, number | undefined, Assignment, ReturnType<typeof moveOf>]>([
    ["its own and not held", undefined, given(4, { host: me, epoch: 2 }), { kind: "acquire", epoch: 2 }],
    ["its own and held by that epoch", 2, given(4, { host: me, epoch: 2 }), undefined],
    ["its own again, before it let go", 2, given(4, { host: me, epoch: 4 }), { kind: "acquire", epoch: 4 }],
    ["its own by an older claim", 5, given(4, { host: me, epoch: 2 }), undefined],
    ["another's", undefined, given(4, { host: "actor-1", epoch: 4 }), undefined],
    [
      "held, and now another's",
      2,
      given(4, { host: "actor-1", epoch: 3 }),
      { kind: "hand-over", to: "actor-1", epoch: 3 },
    ],
    ["held, and another's by an older claim", 5, given(4, { host: "actor-1", epoch: 3 }), undefined],
    ["held, and another's by a claim as old", 3, given(4, { host: "actor-1", epoch: 3 }), undefined],
    ["held, and nobody's", 3, given(4), { kind: "release" }],
    ["held, and nobody's by an older table", 5, given(4), undefined],
    ["held, and nothing is known", 5, NO_ASSIGNMENT, undefined],
  ])("%s", (_, held, assignment, move) => expect(of(held, assignment)).toEqual(move));

  const change = fc.record({ hosts: fc.integer({ min: 1, max: 4 }), shards: fc.integer({ min: 1, max: 6 }) });
  const history = fc.array(change, { minLength: 1, maxLength: 10 }).map((changes) => {
    const all: Assignment[] = [];
    for (const { hosts, shards } of changes)
      all.push(assign(all.at(-1) ?? NO_ASSIGNMENT, hostsOf(hosts), shardsOf(shards)));
    return all;
  });
  /** What a host holds once it did all that `assignment` asks of it. */
  const obey = (held: Map<number, number>, assignment: Assignment) => {
    for (const each of shardsOf(6)) {
      const move = moveOf(me, each, held.get(each), assignment);
      if (move?.kind === "acquire") held.set(each, move.epoch);
      else if (move !== undefined) held.delete(each);
    }
    return held;
  };

  test("whatever of a history it saw, the newest makes it hold what it is given; asked again, nothing", () => {
    fc.assert(
      fc.property(history, fc.array(fc.nat(), { maxLength: 10 }), (all, seen) => {
        const held = new Map<number, number>();
        for (const at of seen.map((n) => n % all.length).sort((a, b) => a - b)) obey(held, all[at]!);
        const newest = all.at(-1)!;
        const own = [...newest.shards].filter(([, { host }]) => host === me);
        expect(obey(held, newest)).toEqual(new Map(own.map(([each, { epoch }]) => [each, epoch])));
        for (const each of shardsOf(6)) expect(moveOf(me, each, held.get(each), newest)).toBeUndefined();
      }),
    );
  });

  test("V3 what it holds is never given away, nor its epoch lowered, by an older assignment", () => {
    fc.assert(
      fc.property(history, fc.nat(), (all, n) => {
        const held = obey(new Map(), all.at(-1)!);
        const older = all[n % all.length]!;
        for (const [each, epoch] of held) {
          const owner = older.shards.get(each);
          const move = moveOf(me, each, epoch, older);
          if (owner === undefined ? older.version < epoch : owner.epoch < epoch) expect(move).toBeUndefined();
        }
      }),
    );
  });

  test("V2 a shard that was retired and comes back has a higher epoch than it ever had", () => {
    const first = assign(NO_ASSIGNMENT, hostsOf(2), shardsOf(4));
    const moved = assign(first, hostsOf(1), shardsOf(4));
    const retired = assign(moved, hostsOf(1), shardsOf(2));
    const back = assign(retired, hostsOf(1), shardsOf(4));
    expect(back.shards.get(3)!.epoch).toBeGreaterThan(moved.shards.get(3)!.epoch);
  });
});

describe("the JSON form", () => {
  test("is read back as it was written", () => {
    const assignment = assign(NO_ASSIGNMENT, hostsOf(3), shardsOf(7));
    expect(decodeAssignment(encodeAssignment(assignment))).toEqual(assignment);
    const owner = { host: "actor-0", epoch: 1, unroutedSinceMs: 1_760_000_000_000 };
    const marked = { ...assignment, shards: new Map([[0, owner]]) };
    expect(decodeAssignment(encodeAssignment(marked))).toEqual(marked);
  });

  test.each([
    ["", /not JSON/],
    ["[]", /the whole must be an object/],
    ['{"version":-1,"hosts":{},"shards":{}}', /version/],
    ['{"version":1,"hosts":{"a":"nowhere"},"shards":{}}', /hosts\.a must be an address/],
    ['{"version":1,"hosts":{},"shards":{"0":{"host":"a","epoch":1}}}', /shards\.0\.host is not one of hosts/],
    ['{"version":1,"hosts":{"a":"h:1"},"shards":{"x":{"host":"a","epoch":1}}}', /a shard is a number/],
    ['{"version":1,"hosts":{"a":"h:1"},"shards":{"0":{"host":"a","epoch":1.5}}}', /epoch/],
    ['{"version":1,"hosts":{"a":"h:1"},"shards":{"0":{"host":"a","epoch":2}}}', /epoch .* version, 1/],
  ])("refuses %j by name", (text, message) => {
    expect(() => decodeAssignment(text)).toThrow(message);
  });
});
