import { expect, test } from "vitest";
import { sharedRead } from "./shared-read.ts";

function controlled() {
  const reads: { resolve(value: number): void; reject(error: Error): void }[] = [];
  const ask = sharedRead(
    () => new Promise<number>((resolve, reject) => void reads.push({ resolve, reject })),
  );
  return { ask, reads };
}
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("who asks during a read gets the answer of the one that follows, once for all of them", async () => {
  const { ask, reads } = controlled();
  const first = ask();
  const later = [ask(), ask(), ask()];
  expect(reads).toHaveLength(1);
  reads[0]!.resolve(1);
  expect(await first).toBe(1);
  await settle();
  expect(reads).toHaveLength(2);
  const latest = ask();
  reads[1]!.resolve(2);
  expect(await Promise.all(later)).toEqual([2, 2, 2]);
  await settle();
  reads[2]!.resolve(3);
  expect(await latest).toBe(3);
  expect(reads).toHaveLength(3);
});

test("a read that fails fails those who share it, and nobody after", async () => {
  const { ask, reads } = controlled();
  const first = ask();
  const second = ask();
  reads[0]!.reject(new Error("away"));
  await expect(first).rejects.toThrow("away");
  await settle();
  reads[1]!.resolve(2);
  expect(await second).toBe(2);
  await settle();
  void ask();
  expect(reads).toHaveLength(3);
});
