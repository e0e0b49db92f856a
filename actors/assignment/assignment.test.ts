import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  assign,
  decodeAssignment,
  encodeAssignment,
  movesFor,
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
            if (before === undefined) expect(owner.epoch).toBe(1);
            else expect(owner.epoch).toBe(before.host === owner.host ? before.epoch : before.epoch + 1);
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

test("a host acquires what it lacks and releases what is another's", () => {
  const assignment = assign(NO_ASSIGNMENT, hostsOf(2), shardsOf(4));
  const own = [...assignment.shards].filter(([, { host }]) => host === "actor-0").map(([shard]) => shard);
  const others = shardsOf(4).filter((shard) => !own.includes(shard));
  const owned = new Map([
    [own[0]!, 1],
    [others[0]!, 1],
    [99, 1],
  ]);
  expect(movesFor("actor-0", owned, assignment)).toEqual({
    acquire: [{ shard: own[1]!, epoch: 1 }],
    release: [others[0]!, 99],
  });
});

describe("the JSON form", () => {
  test("is read back as it was written", () => {
    const assignment = assign(NO_ASSIGNMENT, hostsOf(3), shardsOf(7));
    expect(decodeAssignment(encodeAssignment(assignment))).toEqual(assignment);
  });

  test.each([
    ["", /not JSON/],
    ["[]", /the whole must be an object/],
    ['{"version":-1,"hosts":{},"shards":{}}', /version/],
    ['{"version":1,"hosts":{"a":"nowhere"},"shards":{}}', /hosts\.a must be an address/],
    ['{"version":1,"hosts":{},"shards":{"0":{"host":"a","epoch":1}}}', /shards\.0\.host is not one of hosts/],
    ['{"version":1,"hosts":{"a":"h:1"},"shards":{"x":{"host":"a","epoch":1}}}', /a shard is a number/],
    ['{"version":1,"hosts":{"a":"h:1"},"shards":{"0":{"host":"a","epoch":1.5}}}', /epoch/],
  ])("refuses %j by name", (text, message) => {
    expect(() => decodeAssignment(text)).toThrow(message);
  });
});
