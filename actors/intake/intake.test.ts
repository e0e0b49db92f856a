import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { RowAt, readImpressionId, readTime, rowEnd } from "../block/row.ts";
import { Reason, Source, Verdict, reasonName, verdictName } from "../core/verdict.ts";
import { tableOf } from "../routing/table.ts";
import { AD_MISSING, HANDED_ON, outcomeReason, outcomeVerdict } from "./intake.ts";
import {
  ADS,
  CHANGE,
  NOW,
  codec,
  limits,
  openIntake,
  rawClick,
  table,
  tokenAt,
  uuidAt,
} from "./intake-fixture.ts";
import type { ClickParts } from "./intake-fixture.ts";

const SKEW = limits.clockSkewMs;
const LIFE = limits.tokenLifeMs;

/** The outcome of one click in words: "HANDED_ON", or its verdict and reason. */
function outcomeOf(parts: ClickParts, change: { trusted?: boolean; readAtMs?: number } = {}): string {
  const routing = change.readAtMs === undefined ? table : tableOf(table.newestFirst, change.readAtMs);
  const { intake, taking } = openIntake(ADS, routing);
  const outcome = intake.take(rawClick(parts), { ...taking, trusted: change.trusted ?? true }, 0);
  if (outcome === HANDED_ON) {
    const row = taking.gather.drain()[0]!.rows;
    return `HANDED_ON ${verdictName(row[RowAt.verdict]!)} ${reasonName(row[RowAt.reason]!)}`;
  }
  if (outcome === AD_MISSING) return "AD_MISSING";
  expect(taking.gather.drain()).toEqual([]);
  return `${verdictName(outcomeVerdict(outcome))} ${reasonName(outcomeReason(outcome))}`;
}

const LIVE = "HANDED_ON UNDECIDED NONE";

describe("which click it is", () => {
  const id = uuidAt(NOW - 5_000);
  it.each<[string, ClickParts, string]>([
    ["a token", { token: tokenAt(NOW) }, LIVE],
    ["a token as text", { token: Buffer.from(codec.encodeText(tokenAt(NOW))) }, LIVE],
    ["a click id", { clickId: id, adId: 1001n }, LIVE],
    ["neither", {}, "REFUSED CLICK_ID_MISSING"],
    ["both", { token: tokenAt(NOW), clickId: id, adId: 1001n }, "REFUSED TOKEN_AND_CLICK_ID"],
    ["a click id without an ad", { clickId: id }, "REFUSED AD_ID_MISSING"],
    ["a click id of 15 bytes", { clickId: id.subarray(1), adId: 1001n }, "REFUSED CLICK_ID_NOT_UUIDV7"],
    ["a UUIDv4", { clickId: Buffer.from(id).fill(0x4a, 6, 7), adId: 1001n }, "REFUSED CLICK_ID_NOT_UUIDV7"],
    ["43 bytes of token", { token: tokenAt(NOW).subarray(1) }, "BAD_SIGNATURE TOKEN_MALFORMED"],
    ["45 bytes of token", { token: Buffer.alloc(45) }, "BAD_SIGNATURE TOKEN_MALFORMED"],
    ["59 bytes that are no text", { token: Buffer.alloc(59) }, "BAD_SIGNATURE TOKEN_MALFORMED"],
    ["an address of 5 bytes", { token: tokenAt(NOW), ip: Buffer.alloc(5) }, "REFUSED IP_MALFORMED"],
  ])("%s", (_name, parts, expected) => expect(outcomeOf(parts)).toBe(expected));

  it("a click id from a client without the scope is refused, a token is not", () => {
    const stranger = { trusted: false };
    expect(outcomeOf({ clickId: id, adId: 1001n }, stranger)).toBe("REFUSED CLIENT_NOT_TRUSTED");
    expect(outcomeOf({ token: tokenAt(NOW) }, stranger)).toBe(LIVE);
  });

  it("N1 any byte of a token changed in any way writes no row", () => {
    fc.assert(
      fc.property(fc.nat(43), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const token = tokenAt(NOW);
        token[at]! ^= flip;
        expect(outcomeOf({ token })).toMatch(/^BAD_SIGNATURE /);
      }),
    );
  });

  it("N5 an ad that is not in memory is no verdict; one that the catalogue lacks is", () => {
    expect(outcomeOf({ token: tokenAt(NOW, 5n) })).toBe("AD_MISSING");
    const { intake, taking } = openIntake();
    const click = rawClick({ token: tokenAt(NOW, 5n) });
    intake.take(click, taking, 0);
    expect(intake.adKey()).toBe(5);
    const unknown = intake.take(click, { ...taking, loaded: new Map() }, 0);
    expect([outcomeVerdict(unknown), outcomeReason(unknown)]).toEqual([
      Verdict.UNKNOWN_AD,
      Reason.AD_NOT_IN_CATALOGUE,
    ]);
    const loaded = new Map([[5, { campaignId: 1n, advertiserId: 2n }]]);
    expect(intake.take(click, { ...taking, loaded }, 0)).toBe(HANDED_ON);
    expect(intake.ad()).toBe(loaded.get(5));
  });
});

describe("its times", () => {
  it.each<[string, ClickParts, string]>([
    ["at the end of the token's life", { token: tokenAt(NOW - LIFE) }, LIVE],
    ["N3 a millisecond past it", { token: tokenAt(NOW - LIFE - 1) }, "HANDED_ON EXPIRED TOKEN_EXPIRED"],
    [
      "N3 a click id past it",
      { clickId: uuidAt(NOW - LIFE - 1), adId: 1001n },
      "HANDED_ON EXPIRED CLICK_ID_EXPIRED",
    ],
    ["an impression the skew ahead", { token: tokenAt(NOW + SKEW) }, LIVE],
    ["one millisecond more", { token: tokenAt(NOW + SKEW + 1) }, "REFUSED IMPRESSION_IN_FUTURE"],
    ["clicked the skew ahead", { token: tokenAt(NOW), clickedAtMs: NOW + SKEW }, LIVE],
    ["one more", { token: tokenAt(NOW), clickedAtMs: NOW + SKEW + 1 }, "REFUSED CLICK_TIME_IN_FUTURE"],
    ["clicked the skew before its impression", { token: tokenAt(NOW), clickedAtMs: NOW - SKEW }, LIVE],
    [
      "one more before",
      { token: tokenAt(NOW), clickedAtMs: NOW - SKEW - 1 },
      "REFUSED CLICK_BEFORE_IMPRESSION",
    ],
    ["a negative time", { token: tokenAt(NOW), clickedAtMs: -1 }, "REFUSED CLICK_BEFORE_IMPRESSION"],
    ["the largest time", { token: tokenAt(NOW), clickedAtMs: 2 ** 63 }, "REFUSED CLICK_TIME_IN_FUTURE"],
    ["N4 an hour late: the shard's to judge", { token: tokenAt(NOW - LIFE), clickedAtMs: NOW - LIFE }, LIVE],
  ])("%s", (_name, parts, expected) => expect(outcomeOf(parts)).toBe(expected));
});

describe("N2 its generation", () => {
  function generationOf(parts: ClickParts): number {
    const { intake, taking } = openIntake();
    expect(intake.take(rawClick(parts), taking, 0)).toBe(HANDED_ON);
    return taking.gather.drain()[0]!.rows.readUInt16LE(RowAt.generation);
  }
  it("is the one that the token pins, whatever the time", () => {
    expect(generationOf({ token: tokenAt(NOW, 1001n, 1) })).toBe(1);
    expect(generationOf({ token: tokenAt(CHANGE - 10_000, 1001n, 2) })).toBe(2);
    expect(outcomeOf({ token: tokenAt(NOW, 1001n, 3) })).toBe("REFUSED GENERATION_UNKNOWN");
  });
  it("was a retired one's for an expired click, whose shards are let go: the click was refused for ever", () => {
    const forgotten = NOW - LIFE - limits.dedupRetentionMs - SKEW;
    expect(generationOf({ token: tokenAt(forgotten - 1, 1001n, 1) })).toBe(2);
    expect(generationOf({ clickId: uuidAt(forgotten - 1), adId: 1001n })).toBe(2);
    expect(generationOf({ token: tokenAt(forgotten, 1001n, 1) })).toBe(1);
  });
  it("is not needed any more for an expired click once nothing remembers its impression", () => {
    const forgotten = NOW - LIFE - limits.dedupRetentionMs - SKEW;
    expect(generationOf({ token: tokenAt(forgotten - 1, 1001n, 3) })).toBe(2);
    expect(outcomeOf({ token: tokenAt(forgotten, 1001n, 3) })).toBe("REFUSED GENERATION_UNKNOWN");
  });
  it("is the one in force at a click id's own time", () => {
    expect(generationOf({ clickId: uuidAt(CHANGE - 1), adId: 1001n })).toBe(1);
    expect(generationOf({ clickId: uuidAt(CHANGE), adId: 1001n })).toBe(2);
  });
  it("is not guessed from a stale table, and tokens do not need a fresh one", () => {
    const stale = { readAtMs: NOW - limits.routingLeadMs - 1 };
    expect(outcomeOf({ clickId: uuidAt(NOW), adId: 1001n }, stale)).toBe("REFUSED ROUTING_TABLE_STALE");
    expect(outcomeOf({ token: tokenAt(NOW) }, stale)).toBe(LIVE);
  });
});

describe("its row", () => {
  function rowOf(parts: ClickParts): Buffer {
    const { intake, taking } = openIntake();
    expect(intake.take(rawClick(parts), taking, 7)).toBe(HANDED_ON);
    const [part] = taking.gather.drain();
    expect(part!.rows.readUInt16LE(RowAt.shard)).toBe(part!.shard);
    expect([...part!.clicks]).toEqual([7]);
    expect(rowEnd(part!.rows, 0)).toBe(part!.rows.length);
    return part!.rows;
  }

  it("says everything that the gateway knows", () => {
    const row = rowOf({
      token: tokenAt(NOW - 9_000, 2n ** 64n - 1n),
      clickedAtMs: NOW - 8_000,
      ip: Buffer.from([192, 0, 2, 1]),
      userAgent: Buffer.from("curl/8"),
    });
    expect(readImpressionId(row, 0)).toEqual(uuidAt(NOW - 9_000));
    expect(row.readBigUInt64LE(RowAt.adId)).toBe(2n ** 64n - 1n);
    expect(row.readBigUInt64LE(RowAt.campaignId)).toBe(1n << 40n);
    expect(row.readBigUInt64LE(RowAt.advertiserId)).toBe(3n);
    expect(readTime(row, RowAt.clickTime)).toBe(NOW - 8_000);
    expect(readTime(row, RowAt.receivedTime)).toBe(NOW);
    expect(row.toString("hex", RowAt.ip, RowAt.ip + 16)).toBe("00000000000000000000ffffc0000201");
    expect(row[RowAt.source]).toBe(Source.GRPC_TOKEN);
    expect(row.toString("utf8", RowAt.userAgent + 1)).toBe("curl/8");
  });

  it("knows where the click came from, and that a click without a time is of its receipt", () => {
    const http = rowOf({ token: tokenAt(NOW), overHttp: true });
    expect([http[RowAt.source], readTime(http, RowAt.clickTime)]).toEqual([Source.HTTP, NOW]);
    expect(rowOf({ clickId: uuidAt(NOW), adId: 1001n })[RowAt.source]).toBe(Source.GRPC_CLICK_ID);
  });

  it("has nothing left over from the click before it", () => {
    const { intake, taking } = openIntake();
    const first = {
      clickId: uuidAt(NOW - LIFE - 1),
      adId: 1001n,
      ip: Buffer.alloc(16, 5),
      userAgent: Buffer.alloc(200, 65),
    };
    intake.take(rawClick(first), taking, 0);
    taking.gather.drain();
    intake.take(rawClick({ token: tokenAt(NOW) }), taking, 0);
    expect(taking.gather.drain()[0]!.rows).toEqual(rowOf({ token: tokenAt(NOW) }));
  });

  it("keeps at most 255 bytes of user agent and tears no character", () => {
    const max = limits.userAgentMaxBytes;
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 60, maxLength: 300 }), (agent) => {
        const userAgent = Buffer.from(agent);
        const row = rowOf({ token: tokenAt(NOW), userAgent });
        const kept = row.subarray(RowAt.userAgent + (row[RowAt.userAgent]! < 0x80 ? 1 : 2));
        expect(kept.length).toBeLessThanOrEqual(max);
        expect(kept.length).toBeGreaterThanOrEqual(Math.min(userAgent.length, max - 3));
        expect(userAgent.subarray(0, kept.length)).toEqual(kept);
        expect(agent.startsWith(kept.toString("utf8"))).toBe(true);
      }),
    );
  });

  it("is not written for a click that is only looked at", () => {
    const { intake, taking } = openIntake();
    expect(intake.take(rawClick({ token: tokenAt(NOW) }), { ...taking, gather: undefined }, 0)).toBe(
      HANDED_ON,
    );
    expect(taking.gather.drain()).toEqual([]);
  });
});
