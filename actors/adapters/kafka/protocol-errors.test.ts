import { createRequire } from "node:module";
import { errorCodes } from "kafkajs/src/protocol/error.js";
import { describe, expect, it } from "vitest";
import { isRefusedBeforeWriting } from "./protocol-errors.ts";

const codeOf = (type: string) => errorCodes.find((each) => each.type === type)!.code;

describe("a broker's answer to an append", () => {
  it.each(["NOT_ENOUGH_REPLICAS", "MESSAGE_TOO_LARGE", "TOPIC_AUTHORIZATION_FAILED", "INVALID_RECORD"])(
    "%s: certainly not appended",
    (type) => expect(isRefusedBeforeWriting(codeOf(type))).toBe(true),
  );

  it.each([
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "NOT_LEADER_FOR_PARTITION",
    "UNKNOWN_TOPIC_OR_PARTITION",
    "REQUEST_TIMED_OUT",
    "KAFKA_STORAGE_ERROR",
    "LEADER_NOT_AVAILABLE",
    "UNKNOWN",
  ])("%s: perhaps appended", (type) => expect(isRefusedBeforeWriting(codeOf(type))).toBe(false));

  it("a code that nobody knows: perhaps appended", () => expect(isRefusedBeforeWriting(9_999)).toBe(false));
});

describe("kafkajs", () => {
  it("is the version whose inner parts brokers.ts and repairs.ts stand on: read both before you raise it", () => {
    const { version } = createRequire(import.meta.url)("kafkajs/package.json") as {
      readonly version: string;
    };
    expect(version).toBe("2.2.4");
  });
});
