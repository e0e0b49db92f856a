import { ClickHouseError } from "@clickhouse/client";
import { describe, expect, test } from "vitest";
import { AdtallyError } from "../../core/errors.ts";
import { ERROR_CLASSES, asSinkError, classifyError } from "./errors.ts";

const clickHouseError = (code: number, type: string | undefined) =>
  new ClickHouseError({
    message: "as ordered",
    code: String(code),
    ...(type === undefined ? {} : { type }),
  } as ConstructorParameters<typeof ClickHouseError>[0]);
const systemError = (code: string) => Object.assign(new Error(`failed with ${code}`), { code });

describe("each listed error", () => {
  test.each(ERROR_CLASSES)("%i %s is %s", (code, name, errorClass) => {
    const sinkCode = errorClass === "refuse" ? "COUNT_SINK_REJECTED" : "COUNT_SINK_UNAVAILABLE";
    // The name is what an answer brings; a proxy may cut it off, the code is in a header then.
    for (const error of [clickHouseError(code, name), clickHouseError(code, undefined)]) {
      expect(classifyError(error)).toBe(errorClass);
      expect(asSinkError(error, "an insert")).toMatchObject({
        code: sinkCode,
        message: expect.stringContaining(`code ${code}`),
      });
    }
  });
});

test("the list names each error once", () => {
  expect(new Set(ERROR_CLASSES.map(([code]) => code)).size).toBe(ERROR_CLASSES.length);
  expect(new Set(ERROR_CLASSES.map(([, name]) => name)).size).toBe(ERROR_CLASSES.length);
});

test("an error that nobody has listed is refused, not repeated blindly", () => {
  expect(classifyError(clickHouseError(777_777, "OF_THE_FUTURE"))).toBe("refuse");
});

test.each(["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH"])(
  "%s may pass",
  (code) => {
    expect(classifyError(systemError(code))).toBe("soon");
    expect(asSinkError(systemError(code), "a query")).toMatchObject({
      code: "COUNT_SINK_UNAVAILABLE",
      message: expect.stringContaining(code),
    });
  },
);

test.each([
  "CERT_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "ERR_TLS_CERT_ALTNAME_INVALID",
])("%s says where to look, and is waited for: files are renewed while programs run", (code) => {
  expect(classifyError(systemError(code))).toBe("later");
  expect(asSinkError(systemError(code), "a query")).toMatchObject({
    code: "COUNT_SINK_UNAVAILABLE",
    message: expect.stringContaining("the server's certificate"),
  });
});

test("an error of our own passes as it is", () => {
  const own = new AdtallyError("COUNT_SINK_UNAVAILABLE", "own");
  expect(asSinkError(own, "a query")).toBe(own);
});
