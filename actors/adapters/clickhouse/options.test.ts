import { describe, expect, test } from "vitest";
import { resolveOptions } from "./options.ts";
import type { Certificates } from "../tls/certificates.ts";
import type { AnyFiles } from "../tls/material.ts";
import { retryWaitMs } from "./retry.ts";

const certificates = {} as Certificates<AnyFiles>;

describe("options that are refused, by what is wrong", () => {
  test.each([
    [{ url: "clickhouse:8123" }, "http:// or https://"],
    [{ url: "not a url" }, "cannot be read"],
    [{ url: "tcp://host:9000" }, "http:// or https://"],
    [{ url: "http://user:secret@host:8123" }, "by their own settings"],
    [{ url: "http://host:8123/database" }, "leave that out"],
    [{ url: "http://host:8123/?compression=1" }, "leave that out"],
    [{ url: "http://host:8123", certificates }, "write https://"],
  ])("%j", (options, why) => {
    expect(() => resolveOptions(options)).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(why) }),
    );
  });

  test("no message shows a secret", () => {
    expect(() => resolveOptions({ url: "http://user:hunter2@host:8123" })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("hunter2") }),
    );
  });
});

test("retries wait longer each time, up to a bound, and not all the same", () => {
  expect([1, 2, 3].map((retry) => retryWaitMs(retry, 0))).toEqual([25, 50, 100]);
  expect([1, 2, 3].map((retry) => retryWaitMs(retry, 1))).toEqual([50, 100, 200]);
  expect(retryWaitMs(1_000, 1)).toBe(2_000);
});
