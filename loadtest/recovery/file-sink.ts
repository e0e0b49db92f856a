/**
 * The memory sink, kept in a file between the processes of one run: what ClickHouse would still
 * know when an actor host is gone. Read when it is first asked, as a database would be.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import {
  createMemoryCountSink,
  type MemoryCountSink,
} from "../../actors/adapters/memory/memory-count-sink.ts";
import { COUNT_ROW_BYTES, type Checkpoint, type CountSink } from "../../actors/ports/count-sink.ts";

export interface FileSink {
  readonly sink: CountSink;
  /** Clicks that a query would see. */
  counted(): Promise<number>;
  keep(): Promise<void>;
}

export function openFileSink(path: string): FileSink {
  let loading: Promise<MemoryCountSink> | undefined;
  const loaded = () => (loading ??= load(path));
  return {
    sink: {
      writeCounts: async (counts) => (await loaded()).writeCounts(counts),
      writeCheckpoints: async (checkpoints) => (await loaded()).writeCheckpoints(checkpoints),
      readCheckpoints: async () => (await loaded()).readCheckpoints(),
      readWindows: async (shard, fromMinute) => (await loaded()).readWindows(shard, fromMinute),
    },
    counted: async () => (await loaded()).counts().reduce((sum, row) => sum + row.clicks, 0),
    async keep() {
      const sink = await loaded();
      const { bytes } = await sink.readWindows(0, 0);
      const checkpoints = Buffer.from(`${JSON.stringify(await sink.readCheckpoints())}\n`);
      await writeFile(`${path}.new`, Buffer.concat([checkpoints, bytes]));
      await rename(`${path}.new`, path);
    },
  };
}

async function load(path: string): Promise<MemoryCountSink> {
  const sink = createMemoryCountSink();
  const kept = await readFile(path).catch(() => undefined);
  if (kept === undefined) return sink;
  const end = kept.indexOf("\n");
  const bytes = kept.subarray(end + 1);
  await sink.writeCounts({ rowCount: bytes.length / COUNT_ROW_BYTES, bytes });
  await sink.writeCheckpoints(JSON.parse(kept.toString("utf8", 0, end)) as Checkpoint[]);
  return sink;
}
