import { describeKeyedLog } from "../../ports/keyed-log.conformance.ts";
import { createMemoryKeyedLog } from "./memory-keyed-log.ts";

describeKeyedLog("the memory keyed log", {
  hooks: ["compact", "loseAnswer"],
  async make() {
    const log = createMemoryKeyedLog();
    return {
      log,
      other: log,
      close: async () => undefined,
      compact: async () => log.compact(40),
      loseAnswer: () => log.failNext("answer-lost"),
    };
  },
});
