/** The hand-tuned codecs against proto-loader's reading and writing of the same messages. */
import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { isAdtallyError } from "../../core/errors.ts";
import { createRawClick } from "../../intake/raw-click.ts";
import { decodeClickBatchResult, encodeClick, encodeClickBatch } from "./click-client.ts";
import {
  decodeClickBatch,
  decodeSubmitClick,
  decodeSubmitClicks,
  encodeBatchRefusal,
  encodeBatchResult,
  encodeSubmitClickResponse,
  encodeSubmitClicksResponse,
} from "./click-codec.ts";
import { loadProtos, serviceOf } from "./protos.ts";
import {
  decodeShardResult,
  decodeSubmission,
  encodeShardAnswers,
  encodeSubmissions,
  scatter,
} from "./shard-codec.ts";
import type { BatchSource } from "../../intake/batch.ts";
import type { ClickMessage } from "./click-client.ts";

const protos = loadProtos();
const clicks = serviceOf(protos, "ClickService");
const shards = serviceOf(protos, "ShardService");

type Plain = Record<string, unknown>;

/** What our decoder reads of each click, in the form that proto-loader gives a Click. */
function clicksOf(source: BatchSource): Plain[] {
  return Array.from({ length: source.count }, (_, index) => {
    const click = createRawClick();
    source.read(index, click);
    const bytes = (at: number, length: number) => Buffer.from(click.bytes.subarray(at, at + length));
    return {
      token: bytes(click.tokenAt, click.tokenLength),
      clickId: bytes(click.clickIdAt, click.clickIdLength),
      adId: String((BigInt(click.adHigh >>> 0) << 32n) | BigInt(click.adLow >>> 0)),
      clickedAtMs: String(click.clickedAtMs),
      ip: bytes(click.ipAt, click.ipLength),
      userAgent: bytes(click.userAgentAt, click.userAgentLength),
    };
  });
}

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const click = fc.record(
  {
    token: bytes(60),
    clickId: bytes(16),
    adId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    clickedAtMs: fc.integer({ min: -(2 ** 52), max: 2 ** 52 }),
    ip: bytes(16),
    userAgent: bytes(300),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<ClickMessage>;

const asRequest = (message: ClickMessage): Plain => ({
  ...message,
  ...(message.adId === undefined ? {} : { adId: String(message.adId) }),
  ...(message.clickedAtMs === undefined ? {} : { clickedAtMs: String(message.clickedAtMs) }),
});

describe("ClickService's requests", () => {
  it("read as proto-loader reads them", () => {
    fc.assert(
      fc.property(fc.array(click, { maxLength: 20 }), fc.maxSafeNat(), (messages, batchId) => {
        const request = { batchId: String(batchId), clicks: messages.map(asRequest) };
        const wire = clicks["StreamClicks"]!.requestSerialize(request);
        const theirs = clicks["StreamClicks"]!.requestDeserialize(wire) as { clicks: Plain[] };
        expect(clicksOf(decodeClickBatch(wire))).toEqual(theirs.clicks.map((each) => ({ ...each })));
        const unary = clicks["SubmitClicks"]!.requestSerialize({ clicks: request.clicks });
        expect(clicksOf(decodeSubmitClicks(unary))).toEqual(clicksOf(decodeClickBatch(wire)));
        const ours = encodeClickBatch(batchId, messages.map(encodeClick));
        expect(clicks["StreamClicks"]!.requestDeserialize(ours)).toEqual(theirs);
      }),
    );
  });

  it("read a single click, and refuse a request without one", () => {
    const wire = clicks["SubmitClick"]!.requestSerialize({ click: { token: Buffer.from("abc"), adId: "7" } });
    expect(clicksOf(decodeSubmitClick(wire))).toMatchObject([{ token: Buffer.from("abc"), adId: "7" }]);
    expect(() => decodeSubmitClick(Buffer.alloc(0))).toThrow(/click is missing/);
  });

  it("skip fields that they do not know, of every wire type, inside clicks and around them", () => {
    const unknown = Buffer.from([
      0xf8, 0x06, 0x96, 0x01, 0xf9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0xfa, 0x06, 2, 9, 9,
    ]);
    const more = Buffer.concat([unknown, Buffer.from([0xfd, 0x06, 1, 2, 3, 4, 0xfb, 0x06, 0xfc, 0x06])]);
    const plain = encodeClick({ token: Buffer.from("tok"), ip: Buffer.alloc(4, 1) });
    const wire = Buffer.concat([more, encodeClickBatch(5, [Buffer.concat([more, plain, more])]), more]);
    expect(clicksOf(decodeClickBatch(wire))).toEqual(
      clicksOf(decodeClickBatch(encodeClickBatch(5, [plain]))),
    );
  });

  it("take the last of a field that comes twice, and a known field of another type as unknown", () => {
    const wire = encodeClickBatch(1, [
      Buffer.concat([
        encodeClick({ token: Buffer.from("first") }),
        encodeClick({ token: Buffer.from("last") }),
      ]),
      // Field 1 as a varint, field 4 as fixed64.
      Buffer.from([0x08, 5, 0x21, 1, 2, 3, 4, 5, 6, 7, 8]),
    ]);
    const read = clicksOf(decodeClickBatch(wire));
    expect(read).toMatchObject([
      { token: Buffer.from("last") },
      { token: Buffer.alloc(0), clickedAtMs: "0" },
    ]);
  });

  it("damaged in any way, they are read, or refused by name, and never crash", () => {
    const sample = encodeClickBatch(3, [
      encodeClick({
        token: Buffer.alloc(44, 1),
        clickedAtMs: 1_763_000_000_000,
        userAgent: Buffer.from("x"),
      }),
      encodeClick({ clickId: Buffer.alloc(16, 2), adId: 1n << 40n }),
    ]);
    const damage = fc.record({
      at: fc.nat(sample.length - 1),
      to: fc.nat(255),
      length: fc.nat(sample.length),
    });
    let refused = 0;
    fc.assert(
      fc.property(damage, fc.boolean(), ({ at, to, length }, cut) => {
        const wire = Buffer.from(cut ? sample.subarray(0, length) : sample);
        if (at < wire.length) wire[at] = to;
        try {
          clicksOf(decodeClickBatch(wire));
        } catch (error) {
          expect(isAdtallyError(error, "INPUT_INVALID")).toBe(true);
          refused += 1;
        }
      }),
      { numRuns: 2_000 },
    );
    expect(refused).toBeGreaterThan(50);
  });

  it.each([
    ["a length past the end", [0x12, 0x7f, 1]],
    ["a field past its click", [0x12, 3, 0x0a, 5, 1, 0, 0, 0, 0, 0]],
    ["a varint that never ends", [0x08, ...Array<number>(11).fill(0xff)]],
    ["field number 0", [0x02, 0]],
    ["a group that is not open", [0x0c]],
    ["groups without end", Array<number>(5_000).fill(0x1b)],
  ])("%s is refused", (_name, wire) => {
    expect(() => clicksOf(decodeClickBatch(Buffer.from(wire)))).toThrow(/malformed ClickBatch/);
  });
});

describe("ClickService's answers", () => {
  const outcomes = fc
    .array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.constantFrom(0, 0, 0, 10, 44, 70)), { maxLength: 300 })
    .map((pairs) => ({
      verdicts: Uint8Array.from(pairs, ([verdict]) => verdict),
      reasons: Uint8Array.from(pairs, ([, reason]) => reason),
      place: undefined,
    }));
  const numbers = (names: unknown, name: string) => {
    const type = (protos[`adtally.v1.${name}`] as unknown as { type: { value: Plain[] } }).type;
    return (names as string[]).map((each) => type.value.find((value) => value["name"] === each)!["number"]);
  };

  it("are read by proto-loader as they were meant, and by our client", () => {
    fc.assert(
      fc.property(outcomes, fc.maxSafeNat(), (meant, batchId) => {
        const id = decodeClickBatch(encodeClickBatch(batchId, [])).batchId;
        const wire = encodeBatchResult(id, meant);
        const theirs = clicks["StreamClicks"]!.responseDeserialize(wire) as Plain;
        const reasons = meant.reasons.some((reason) => reason > 0) ? [...meant.reasons] : [];
        expect(theirs["batchId"]).toBe(String(batchId));
        expect(numbers(theirs["verdicts"], "Verdict")).toEqual([...meant.verdicts]);
        expect(numbers(theirs["reasons"], "Reason")).toEqual(reasons);
        const ours = decodeClickBatchResult(wire);
        expect([ours.batchId, [...ours.verdicts], [...ours.reasons]]).toEqual([
          batchId,
          [...meant.verdicts],
          reasons,
        ]);
        const unary = clicks["SubmitClicks"]!.responseDeserialize(encodeSubmitClicksResponse(meant)) as Plain;
        expect(numbers(unary["verdicts"], "Verdict")).toEqual([...meant.verdicts]);
      }),
    );
  });

  it("echo a batch id of all 64 bits", () => {
    const wire = clicks["StreamClicks"]!.requestSerialize({ batchId: "18446744073709551615" });
    const result = encodeBatchResult(decodeClickBatch(wire).batchId, {
      verdicts: new Uint8Array(0),
      reasons: new Uint8Array(0),
      place: undefined,
    });
    expect(clicks["StreamClicks"]!.responseDeserialize(result)).toMatchObject({
      batchId: "18446744073709551615",
    });
  });

  it("tell a refusal", () => {
    const refusal = { code: "OVERLOADED", detail: "x".repeat(300), retryAfterMs: 200 };
    const wire = encodeBatchRefusal(Buffer.from([9]), refusal);
    expect(clicks["StreamClicks"]!.responseDeserialize(wire)).toMatchObject({ batchId: "9", refusal });
    expect(decodeClickBatchResult(wire)).toMatchObject({ batchId: 9, refusal });
  });

  it("tell the place of a single click, shard 0 and offset 0 included", () => {
    const one = { verdicts: Uint8Array.of(1), reasons: Uint8Array.of(0) };
    const read = (place: { shard: number; offset: number } | undefined) =>
      clicks["SubmitClick"]!.responseDeserialize(encodeSubmitClickResponse({ ...one, place })) as Plain;
    expect(read({ shard: 0, offset: 0 })).toMatchObject({
      verdict: "VERDICT_ACCEPTED",
      shard: 0,
      offset: "0",
    });
    expect(read(undefined)).not.toHaveProperty("shard");
  });
});

describe("ShardService's messages", () => {
  const submit = shards["Submit"]!;
  it("are what proto-loader reads and writes", () => {
    const submission = { shard: 4095, count: 2, rows: Buffer.from("rows") };
    const ours = [2 ** 40, 1, 127, 128].map((requestId) => ({ requestId, submission }));
    const first = { requestId: String(2 ** 40), ...submission };
    expect(submit.requestDeserialize(encodeSubmissions(ours))).toEqual({
      submissions: ours.map(({ requestId }) => ({ ...first, requestId: String(requestId) })),
    });
    expect(scatter(encodeSubmissions(ours)).map(decodeSubmission)).toEqual(ours);
    const theirs = submit.requestSerialize({ submissions: [first, first] });
    expect(scatter(theirs).map(decodeSubmission)).toEqual([
      { requestId: 2 ** 40, submission },
      { requestId: 2 ** 40, submission },
    ]);
    const outcomes = Buffer.alloc(300, 1);
    const refusal = { code: "NOT_OWNER", detail: "moved", retryAfterMs: 3 };
    const answers = encodeShardAnswers([
      { requestId: 7, result: { offset: 2 ** 50, outcomes } },
      { requestId: 8, result: refusal },
      { requestId: 2 ** 33, result: { offset: undefined, outcomes } },
    ]);
    expect(submit.responseDeserialize(answers)).toMatchObject({
      results: [
        { requestId: "7", offset: String(2 ** 50), outcomes },
        { requestId: "8", refusal },
        { requestId: String(2 ** 33), outcomes },
      ],
    });
    expect(scatter(answers).map(decodeShardResult)).toMatchObject([
      { requestId: 7, offset: 2 ** 50, outcomes, refusal: undefined },
      { requestId: 8, refusal },
      { requestId: 2 ** 33, outcomes, refusal: undefined },
    ]);
  });
  it("damaged, are refused by name", () => {
    expect(() => scatter(Buffer.from([0x0a, 9, 1]))).toThrow(/malformed message of several/);
    expect(() => decodeSubmission(Buffer.from([0x22, 9, 1]))).toThrow(/malformed ShardSubmission/);
    expect(() => decodeShardResult(Buffer.from([0x22, 2, 0x0a, 9]))).toThrow(
      /malformed ShardSubmissionResult/,
    );
  });
});
