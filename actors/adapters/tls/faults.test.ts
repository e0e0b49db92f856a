import { expect, test } from "vitest";
import { tlsFault, withTlsFault } from "./faults.ts";

const errorOf = (code: string, message = "no") => Object.assign(new Error(message), { code });

test.each([
  ["CERT_HAS_EXPIRED", "has expired: renew it"],
  ["CERT_NOT_YET_VALID", "not valid yet"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "--redis-tls-ca"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "--redis-tls-ca"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "--redis-tls-ca"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "the host"],
  ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "give --redis-tls-cert and --redis-tls-key"],
  ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "(--redis-tls-cert)"],
  ["ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE", "(--redis-tls-cert)"],
  ["ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED", "(--redis-tls-cert)"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "does not speak TLS"],
])("%s says where to mend it, also below what was made of it", (code, what) => {
  expect(tlsFault(errorOf(code), "redis")).toContain(what);
  expect(tlsFault(new Error("wrapped", { cause: errorOf(code) }), "redis")).toContain(what);
});

test.each(["ECONNREFUSED", "ERR_INVALID_ARG_TYPE", ""])("%j is none of TLS, and is told as it is", (code) => {
  expect(tlsFault(errorOf(code), "kafka")).toBeUndefined();
  expect(withTlsFault("no", errorOf(code), "kafka")).toBe("no");
  expect(tlsFault("text", "kafka")).toBeUndefined();
});

test("OpenSSL's places in its own source are left out", () => {
  const said =
    "4063618FAB7F0000:error:0A000412:SSL routines:ssl3_read_bytes:ssl/tls alert bad certificate:../deps/x.c:918:SSL alert number 42\n";
  expect(withTlsFault(said, errorOf("ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE"), "kafka")).toMatch(
    /^ssl\/tls alert bad certificate \(ERR_SSL_SSL\/TLS_ALERT_BAD_CERTIFICATE\): the server does not take/,
  );
});
