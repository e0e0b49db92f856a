import { describe, expect, it } from "vitest";
import { logKey } from "./frame.ts";
import { SparseIndex } from "./sparse-index.ts";

const identity = { base: 4096, salt: 7, size: 100_000_000 };
const key = logKey("clicks", 3);

describe("the sparse index", () => {
  it("keeps an entry for every 256 KiB at the most, and finds the one at or before an offset", () => {
    const index = new SparseIndex();
    for (let offset = 0; offset < 10_000; offset++) index.add(key, 50 + offset, 100 + offset * 1_000);
    expect(index.floor(key, 49)).toBeUndefined();
    expect(index.floor(key, 50)).toBe(100);
    expect(index.floor(key, 50 + 262)).toBe(100);
    expect(index.floor(key, 50 + 263)).toBe(263_100);
    expect(index.floor(logKey("clicks-spill", 3), 50)).toBeUndefined();
    expect(index.encode(identity).length).toBeLessThan(1_000);
  });

  it("is read back as it was, and not at all when damaged or of another segment", () => {
    const index = new SparseIndex();
    for (let partition = 0; partition < 5; partition++) {
      index.add(logKey("clicks", partition), 2 ** 40 + partition, partition);
      index.add(logKey("clicks", partition), 2 ** 40 + 100, 900_000);
    }
    const bytes = index.encode(identity);
    const back = SparseIndex.decode(bytes, identity);
    expect(back?.floor(logKey("clicks", 4), 2 ** 40 + 50)).toBe(4);
    expect(back?.floor(logKey("clicks", 4), 2 ** 40 + 100)).toBe(900_000);
    expect(SparseIndex.decode(bytes, { ...identity, size: 1 })).toBeUndefined();
    expect(SparseIndex.decode(bytes.subarray(0, -1), identity)).toBeUndefined();
    bytes[40] = bytes[40]! ^ 1;
    expect(SparseIndex.decode(bytes, identity)).toBeUndefined();
  });
});
