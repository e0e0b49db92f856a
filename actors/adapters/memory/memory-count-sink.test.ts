import { countSinkConformance } from "../../ports/count-sink.conformance.ts";
import { createMemoryCountSink } from "./memory-count-sink.ts";

countSinkConformance("the memory count sink", () => {
  let current = createMemoryCountSink();
  return Promise.resolve({
    sink: {
      writeCounts: (counts) => current.writeCounts(counts),
      writeCheckpoints: (checkpoints) => current.writeCheckpoints(checkpoints),
      readCheckpoints: () => current.readCheckpoints(),
      readWindows: (shard, fromMinute) => current.readWindows(shard, fromMinute),
    },
    counts: () => Promise.resolve(current.counts()),
    clear: () => {
      current = createMemoryCountSink();
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  });
});
