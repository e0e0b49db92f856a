/** What is told of steady traffic. */
import { describe, expect, it } from "vitest";
import { steady } from "./status.ts";

describe("a rate in a status", () => {
  it("S2: is told to two digits, and anew when it differs by a tenth", () => {
    expect(steady(12_345, undefined)).toBe(12_000);
    expect(steady(12_900, 12_000)).toBe(12_000);
    expect(steady(11_100, 12_000)).toBe(12_000);
    expect(steady(13_300, 12_000)).toBe(13_000);
    expect(steady(10_700, 12_000)).toBe(11_000);
  });

  it("S2: a small one is told anew when it differs by some clicks; whether there is any, at once", () => {
    expect(steady(6, 4)).toBe(4);
    expect(steady(9, 4)).toBe(9);
    expect(steady(0, 2)).toBe(0);
    expect(steady(1, 0)).toBe(1);
  });
});
