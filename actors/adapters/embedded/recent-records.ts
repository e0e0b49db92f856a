/**
 * The journal's newest records of `clicks`, in memory: what carries them on to ClickHouse reads
 * what was appended a moment ago. From the files each partition's read would walk over all other
 * partitions' frames, so that 64 shards read everything 64 times.
 *
 *  M1 Of a partition it holds a run without a hole that ends with the newest record.
 *  M2 It takes `maxBytes` and a batch at the most; the oldest records leave first, whosever they are.
 *  M3 What it holds is nobody else's memory: an appender may use its buffer again, a reader may
 *     write into what it was given.
 */
import type { LogRecord } from "../../block/block.ts";
import { frameBytes, type Placed } from "./batch.ts";
import { isOfTopic, type LogKey } from "./frame.ts";

/** A queue whose front leaves in constant time. */
class Queue<T> {
  #items: T[] = [];
  #front = 0;

  get length(): number {
    return this.#items.length - this.#front;
  }

  at(index: number): T | undefined {
    return this.#items[this.#front + index];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): void {
    this.#front += 1;
    // Half of it is gone: each item is moved once on average.
    if (this.#front * 2 < this.#items.length) return;
    this.#items = this.#items.slice(this.#front);
    this.#front = 0;
  }
}

export class RecentRecords {
  readonly #maxBytes: number;
  readonly #byKey = new Map<LogKey, Queue<LogRecord>>();
  /** Whose each record is, in the order in which they leave. */
  readonly #order = new Queue<LogKey>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes copies of what has just been synced. */
  add(frames: readonly Placed[]): void {
    const clicks = frames.filter(({ key }) => isOfTopic(key, "clicks"));
    const memory = Buffer.allocUnsafeSlow(clicks.reduce((sum, { block }) => sum + block.value.length, 0));
    let at = 0;
    for (const { key, block, offset } of clicks) {
      const end = at + block.value.copy(memory, at);
      let run = this.#byKey.get(key);
      if (run === undefined) this.#byKey.set(key, (run = new Queue()));
      run.push({ header: block.header, value: memory.subarray(at, end), offset });
      this.#order.push(key);
      this.#bytes += frameBytes(block);
      at = end;
    }
    while (this.#bytes > this.#maxBytes) this.#dropOldest();
  }

  /** The first offset of the partition that it holds. */
  firstOf(key: LogKey): number | undefined {
    return this.#byKey.get(key)?.at(0)?.offset;
  }

  /** Records from `from` on until `maxBytes` is passed; none where `from` is not held. */
  read(key: LogKey, from: number, maxBytes: number): readonly LogRecord[] {
    const run = this.#byKey.get(key);
    const first = run?.at(0)?.offset;
    if (run === undefined || first === undefined || from < first) return [];
    const held: LogRecord[] = [];
    let bytes = 0;
    for (let index = from - first; index < run.length && bytes < maxBytes; index++) {
      const record = run.at(index)!;
      held.push(record);
      bytes += record.value.length;
    }
    const memory = Buffer.allocUnsafeSlow(bytes);
    let at = 0;
    return held.map(({ header, value, offset }) => {
      const end = at + value.copy(memory, at);
      const record = { header, value: memory.subarray(at, end), offset };
      at = end;
      return record;
    });
  }

  #dropOldest(): void {
    const key = this.#order.at(0)!;
    const run = this.#byKey.get(key)!;
    this.#bytes -= frameBytes(run.at(0)!);
    run.shift();
    if (run.length === 0) this.#byKey.delete(key);
    this.#order.shift();
  }
}
