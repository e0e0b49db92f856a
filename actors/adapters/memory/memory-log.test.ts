import { describe, expect, it } from "vitest";
import { codeOf, describeClickLog, expectRecord, readAll } from "../../ports/click-log.conformance.ts";
import { sampleBlock } from "../../ports/click-log.sample.ts";
import type { ClickTopic } from "../../ports/click-log.ts";
import { createMemoryLog, type MemoryLog } from "./memory-log.ts";

describeClickLog("the memory log", {
  hooks: ["flipBit", "dropOldest", "loseAnswer"],
  async make() {
    const logs = new Map<ClickTopic, MemoryLog>();
    const topic = (name: ClickTopic): MemoryLog => {
      const log = logs.get(name) ?? createMemoryLog(name);
      logs.set(name, log);
      return log;
    };
    return {
      topic,
      close: async () => undefined,
      flipBit: async (name, partition, offset) => topic(name).flipBit(partition, offset),
      dropOldest: async (name, partition, offset) => topic(name).dropBefore(partition, offset),
      loseAnswer: (name, partition) => topic(name).failNext(partition, "answer-lost"),
    };
  },
});

describe("the memory log's faults", () => {
  it("unavailable: not applied, and the next append is well", async () => {
    const log = createMemoryLog();
    log.failNext(0, "unavailable");
    expect(await codeOf(log.append(0, sampleBlock(1)))).toBe("LOG_UNAVAILABLE");
    expect(await log.append(0, sampleBlock(1))).toBe(0);
  });

  it("applied-twice: the block stands at two offsets, and the answer is the second", async () => {
    const log = createMemoryLog();
    log.failNext(0, "applied-twice");
    expect(await log.append(0, sampleBlock(1))).toBe(1);
    const records = await readAll(log, 0);
    expectRecord(records[0], 0, sampleBlock(1));
    expectRecord(records[1], 1, sampleBlock(1));
  });

  it("faults queue up, each for one append of its own partition", async () => {
    const log = createMemoryLog();
    log.failNext(0, "answer-lost");
    log.failNext(0, "unavailable");
    expect(await log.append(1, sampleBlock(1))).toBe(0);
    expect(await codeOf(log.append(0, sampleBlock(1)))).toBe("APPEND_UNKNOWN");
    expect(await codeOf(log.append(0, sampleBlock(2)))).toBe("LOG_UNAVAILABLE");
    expect(await log.append(0, sampleBlock(2))).toBe(1);
  });
});
