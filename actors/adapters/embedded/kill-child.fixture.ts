/**
 * Run by file-log.kill.integration.test.ts as a process of its own: appends to several partitions
 * until it is killed, and prints "partition offset" when an append is acknowledged.
 */
import { writeSync } from "node:fs";
import { sampleBlock } from "../../ports/click-log.sample.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { openFileLog } from "./file-log.ts";

const [dir, partitions, segmentBytes] = process.argv.slice(2);
const limits = {
  logSegmentBytes: Number(segmentBytes),
  logQueueMaxBytes: 64 * 1024 * 1024,
  overloadRetryAfterMs: 200,
};
const log = await openFileLog({ dir: dir!, limits, clock: systemClock, logger: silentLogger });
const clicks = log.topic("clicks");
writeSync(1, "ready\n");
await Promise.all(
  Array.from({ length: Number(partitions) }, async (_, partition) => {
    for (;;) {
      const { next } = await clicks.bounds(partition);
      const offset = await clicks.append(partition, sampleBlock(next + 1, 100 + ((next * 977) % 5_000)));
      writeSync(1, `${partition} ${offset}\n`);
    }
  }),
);
