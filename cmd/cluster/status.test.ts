import { describe, expect, test } from "vitest";
import { placePorts, portsNeeded } from "./places.ts";
import { parseSamples, sumBy } from "./samples.ts";
import { durationOf, renderLine, renderScreen } from "./screen.ts";
import { statusOf, type MemberReading, type Reading } from "./status.ts";

describe("Prometheus' text", () => {
  const text = [
    "# HELP adtally_shard_clicks Clicks folded.",
    'adtally_shard_clicks{shard="0",verdict="accepted"} 5',
    'adtally_shard_clicks{shard="0",verdict="late"} 2',
    'adtally_shard_clicks{shard="1",verdict="accepted"} 1e3',
    'odd{text="a \\"quoted\\" word"} 1',
    "plain 7",
    "not a sample",
  ].join("\n");

  test("gives names, labels and values, and nothing for other lines", () => {
    const samples = parseSamples(text);
    expect(samples).toHaveLength(5);
    expect(sumBy(samples, "adtally_shard_clicks", "shard")).toEqual(
      new Map([
        ["0", 7],
        ["1", 1_000],
      ]),
    );
    expect(sumBy(samples, "plain", "")).toEqual(new Map([["", 7]]));
  });
});

const member = (given: Partial<MemberReading>): MemberReading => ({
  name: "actor-0",
  pid: 10,
  isRunning: true,
  restarts: 0,
  upMs: 1_000,
  logFile: "logs/actor-0.log",
  faults: [],
  samples: [],
  ...given,
});

const actorSamples = (clicks: number) =>
  parseSamples(
    [
      'adtally_shard_up{shard="0"} 1',
      'adtally_shard_up{shard="1"} 0',
      `adtally_shard_clicks{shard="0",verdict="accepted"} ${clicks}`,
      'adtally_shard_mailbox_clicks{shard="0"} 3',
      'adtally_shard_unflushed_windows{shard="0"} 4',
      'adtally_shard_next_spill_offset{shard="0"} 6',
    ].join("\n"),
  );

const reading = (atMs: number, ...members: MemberReading[]): Reading => ({
  atMs,
  members,
  spillEnds: new Map([[0, 8]]),
});

describe("the status of a cluster", () => {
  test("tells clicks a second of shards that the same process served at both readings", () => {
    const before = reading(1_000, member({ samples: actorSamples(100) }));
    const after = reading(3_000, member({ samples: actorSamples(300) }));
    const [served, other] = statusOf(after, before, 2).shards;
    expect(served).toEqual({
      shard: 0,
      host: "actor-0",
      clicksPerSecond: 100,
      mailboxClicks: 3,
      unflushedWindows: 4,
      rawLagBlocks: undefined,
      spillBlocks: 2,
    });
    expect(other).toMatchObject({ shard: 1, host: undefined, clicksPerSecond: undefined });
  });

  test("takes a restarted process' replay for no traffic", () => {
    const before = reading(1_000, member({ samples: actorSamples(100) }));
    const after = reading(2_000, member({ samples: actorSamples(5_000), pid: 11, restarts: 1 }));
    expect(statusOf(after, before, 1).clicksPerSecond).toBe(0);
  });

  test("names what is down, silent or not ready", () => {
    const status = statusOf(
      reading(
        0,
        member({ name: "a", isRunning: false }),
        member({ name: "b", faults: undefined }),
        member({ name: "c", faults: ["shard 3: being acquired"] }),
        member({ name: "d" }),
      ),
      undefined,
      1,
    );
    expect(status.members.map(({ name, state }) => [name, state])).toEqual([
      ["a", "down"],
      ["b", "no answer"],
      ["c", "not ready"],
      ["d", "up"],
    ]);
    const line = renderLine({ status, upMs: 61_000 });
    expect(line).toContain("1m01s · 1 of 4 up");
    expect(line).toContain("a down (see logs/actor-0.log)");
    expect(line).toContain("c not ready (shard 3: being acquired)");
  });

  test("fits the terminal, whatever its size", () => {
    const status = statusOf(reading(0, member({ samples: actorSamples(1) })), undefined, 40);
    const scene = { status, upMs: 0, places: new Map([["actor-0", "here"]]), footer: ["x".repeat(200)] };
    const whole = renderScreen(scene, { columns: 300, rows: 100 });
    expect(whole).toContain("actor-0  up");
    expect(whole).toContain("x".repeat(200));
    const small = renderScreen(scene, { columns: 20, rows: 5 }).split("\n");
    expect(small).toHaveLength(4);
    expect(Math.max(...small.map((line) => line.length))).toBeLessThanOrEqual(20);
  });

  test.each([
    [59_999, "59s"],
    [60_000, "1m00s"],
    [3_599_000, "59m59s"],
    [3_600_000, "1h00m"],
  ])("%i ms are %s", (ms, text) => expect(durationOf(ms)).toBe(text));
});

describe("the ports of a cluster", () => {
  test("are as given, the next ones for further gateways, free ones elsewhere, none twice", () => {
    const free = Array.from({ length: portsNeeded(2, 3) }, (_, i) => 50_000 + i);
    const ports = placePorts({ http: 8_080, grpc: 0 }, 2, 3, free);
    expect(ports.gateways.map(({ http }) => http)).toEqual([8_080, 8_081]);
    const others = [
      ports.broker,
      ports.redis,
      ports.engine,
      ports.query,
      ports.ingest,
      ...ports.gateways.map(({ grpc }) => grpc),
      ...ports.actors.flatMap(({ grpc, admin }) => [grpc, admin]),
    ];
    expect(new Set(others).size).toBe(others.length);
    expect(others.every((port) => free.includes(port))).toBe(true);
  });
});
