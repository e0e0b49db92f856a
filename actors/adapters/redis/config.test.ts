import { describe, expect, it } from "vitest";
import { isAdtallyError, messageOf } from "../../core/errors.ts";
import { parseRedisConfig } from "./config.ts";
import { reconnectDelayMs } from "./link.ts";

describe("parseRedisConfig", () => {
  it.each([
    ["redis://redis", { host: "redis", port: 6379, database: 0, address: "redis:6379", prefix: "adtally:" }],
    ["redis://10.0.0.7:7000/12", { host: "10.0.0.7", port: 7000, database: 12 }],
    ["redis://[::1]:7000", { host: "::1", port: 7000, address: "[::1]:7000" }],
    ["redis://ann:a%3Ab@redis/", { username: "ann", password: "a:b" }],
    ["rediss://redis", { tls: { servername: "redis" } }],
    ["rediss://10.0.0.7", { tls: {} }],
  ])("%s", (url, place) => {
    expect(parseRedisConfig({ url })).toMatchObject(place);
  });

  it("takes TLS and the password from beside the URL", () => {
    const place = parseRedisConfig({ url: "redis://:old@redis", password: "new", tls: { ca: "x" } });
    expect(place).toMatchObject({ password: "new", tls: { ca: "x", servername: "redis" } });
    expect(parseRedisConfig({ url: "redis://redis" }).tls).toBeUndefined();
  });

  it("reads certificates that renew anew for each connection", () => {
    let generation = 0;
    const tls = {
      get ca() {
        return `generation ${(generation += 1)}`;
      },
    };
    const place = parseRedisConfig({ url: "redis://redis", tls });
    expect([place.tls?.ca, place.tls?.ca]).toEqual(["generation 1", "generation 2"]);
  });

  it.each([
    "",
    "redis",
    "http://redis:6379",
    "redis://redis/one",
    "redis://ann@redis",
    "redis://:s3cret%@redis",
  ])("refuses %j, and repeats no secret", (url) => {
    try {
      parseRedisConfig({ url });
    } catch (error) {
      expect(isAdtallyError(error, "CONFIG_INVALID")).toBe(true);
      expect(messageOf(error)).not.toContain("s3cret");
      return;
    }
    throw new Error("it was taken");
  });
});

it("reconnecting waits longer with each attempt, up to a cap, never less than half of it", () => {
  const limits = { reconnectMinMs: 100, reconnectMaxMs: 1_000 };
  const span = (attempt: number) => [0, 1].map((random) => reconnectDelayMs(attempt, random, limits));
  expect([1, 2, 4, 5, 1_000, 5_000].map(span)).toEqual([
    [50, 100],
    [100, 200],
    [400, 800],
    [500, 1_000],
    [500, 1_000],
    [500, 1_000],
  ]);
});
