/**
 * Blocks of the log that say again what an earlier one said: an append whose answer was lost, made
 * once more, or spilled clicks that two owners of one shard drained at the same time. The raw table
 * has their rows, as the log has them; a count has them once.
 *
 * Found here from the blocks' headers alone, not by the code that counts.
 */
import type { BlockHeader } from "../../actors/block/block.ts";
import type { ClickLog } from "../../actors/ports/click-log.ts";

const READ_BYTES = 4 * 1024 * 1024;

/** In the order of one shard's log: whether each block is such a one. */
export function createRepeatFinder(): (
  header: Pick<BlockHeader, "writer" | "sequence" | "sourceOffset">,
) => boolean {
  const said = new Set<string>();
  let drained = 0;
  return ({ writer, sequence, sourceOffset }) => {
    const name = `${writer} ${sequence}`;
    if (said.has(name) || (sourceOffset >= 0 && sourceOffset <= drained)) return true;
    said.add(name);
    if (sourceOffset >= 0) drained = sourceOffset;
    return false;
  };
}

/** Offsets of such blocks, by shard. */
export async function repeatedBlocks(
  clicks: ClickLog,
  shards: number,
): Promise<ReadonlyMap<number, ReadonlySet<number>>> {
  const found = new Map<number, ReadonlySet<number>>();
  for (let shard = 0; shard < shards; shard++) {
    const repeated = new Set<number>();
    const isRepeat = createRepeatFinder();
    const { earliest, next } = await clicks.bounds(shard);
    for (let offset = earliest; offset < next;) {
      const records = await clicks.read(shard, offset, READ_BYTES);
      if (records.length === 0) throw new Error(`shard ${shard}: no record at ${offset} of ${next}`);
      for (const record of records) if (isRepeat(record.header)) repeated.add(record.offset);
      offset = records.at(-1)!.offset + 1;
    }
    found.set(shard, repeated);
  }
  return found;
}
