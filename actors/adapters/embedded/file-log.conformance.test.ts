import { appendFile } from "node:fs/promises";
import { describeClickLog, type HarnessFactory } from "../../ports/click-log.conformance.ts";
import { sampleBlock, sampleTimeMs } from "../../ports/click-log.sample.ts";
import { FRAME_HEADER_BYTES } from "./frame.ts";
import { diskError } from "./files.fixture.ts";
import { findFrame, flipBitAt, makeBench, segmentFiles } from "./file-log.fixture.ts";

function harnessOf(
  logSegmentBytes: number,
  hooks: HarnessFactory["hooks"],
  recentMaxBytes = 0,
): HarnessFactory {
  return {
    hooks,
    async make() {
      const bench = await makeBench({ logSegmentBytes, recentMaxBytes });
      return {
        topic: (name) => bench.log.topic(name),
        close: () => bench.end(),
        reopen: async () => bench.use(await bench.crashImage()),
        async tearTail() {
          const image = await bench.crashImage();
          // Half of a well-formed frame: the last one, cut short, where the next one would stand.
          const last = (await segmentFiles(image)).at(-1)!;
          await appendFile(last, Buffer.concat([Buffer.from("ADTF"), Buffer.alloc(FRAME_HEADER_BYTES)]));
          await bench.use(image);
        },
        settle: () => bench.settle(),
        async flipBit(topic, partition, offset) {
          const image = await bench.crashImage();
          const frame = await findFrame(image, topic, partition, offset);
          await flipBitAt(frame.path, frame.at + frame.bytes - 3);
          await bench.use(image);
        },
        async dropOldest(topic, partition, offset) {
          // A full segment is sealed by the next append: one to a partition that no test looks at.
          await bench.log.topic(topic).append(60_000, sampleBlock(1_000_000));
          await bench.log.retain(sampleTimeMs(offset + 1));
          void partition;
        },
        loseAnswer() {
          bench.files.failNextSync = () => diskError("EIO");
        },
      };
    },
  };
}

const ALWAYS = ["reopen", "tearTail", "settle", "flipBit", "loseAnswer"] as const;
describeClickLog("the file log in one segment", harnessOf(128 * 1024 * 1024, ALWAYS));
describeClickLog("the file log in segments of two small blocks", harnessOf(480, [...ALWAYS, "dropOldest"]));
describeClickLog(
  "the file log read from memory",
  harnessOf(480, [...ALWAYS, "dropOldest"], 32 * 1024 * 1024),
);
describeClickLog("the file log read from memory and files", harnessOf(480, [...ALWAYS, "dropOldest"], 2_000));
