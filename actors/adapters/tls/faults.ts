/**
 * Why TLS towards a server that is not ours came to nothing, in words that say where to mend it:
 * OpenSSL's own do not tell whose certificate is meant, or which file.
 */
/** As its flags begin: `kafka` has --kafka-tls-ca. */
export type Backend = "kafka" | "redis" | "clickhouse";

const UNKNOWN_AUTHORITY =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_[A-Z_]+|CERT_UNTRUSTED|CERT_SIGNATURE_FAILURE|INVALID_CA)$/;
/** A server's word on our own certificate, as OpenSSL names its alerts. */
const REFUSED_BY_SERVER =
  /^ERR_SSL_(TLSV1_ALERT_UNKNOWN_CA|TLSV1_ALERT_DECRYPT_ERROR|(SSL\/TLS|SSLV3|TLSV13)_ALERT_(BAD_CERTIFICATE|CERTIFICATE_EXPIRED|CERTIFICATE_REVOKED|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|HANDSHAKE_FAILURE))$/;

/** `…:error:0A000412:SSL routines:ssl3_read_bytes:ssl/tls alert bad certificate:…:918:…` */
const OPENSSL = /[0-9A-F]+:error:[0-9A-F]+:SSL routines:[^:]*:([^:]*):[^]*/;

/** Undefined where the error is none of TLS. */
export function tlsFault(error: unknown, backend: Backend): string | undefined {
  const code = codeOf(error);
  const flag = (end: "ca" | "cert" | "key") => `--${backend}-tls-${end}`;
  if (code === "CERT_HAS_EXPIRED")
    return "the server's certificate, or its authority's, has expired: renew it";
  if (code === "CERT_NOT_YET_VALID") return "the server's certificate is not valid yet: check both clocks";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return "the server's certificate does not name the host that it is reached at";
  if (UNKNOWN_AUTHORITY.test(code))
    return `the server's certificate is of no authority in ${flag("ca")}, or of none that is known where that is not set`;
  if (/^ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED$/.test(code))
    return `the server wants a client certificate: give ${flag("cert")} and ${flag("key")}`;
  if (REFUSED_BY_SERVER.test(code))
    return `the server does not take our client certificate (${flag("cert")}): it is missing, has expired, or is of no authority that the server knows`;
  if (/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/.test(code))
    return "the server does not speak TLS at this port";
  return undefined;
}

/** The error's own words and what to do; of errors that are none of TLS their words alone. */
export function withTlsFault(said: string, error: unknown, backend: Backend): string {
  const fault = tlsFault(error, backend);
  return fault === undefined ? said : `${said.replace(OPENSSL, "$1")} (${codeOf(error)}): ${fault}`;
}

/** Of the error, or of what it was made from. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return code === "" || !/^(CERT|DEPTH|ERR|INVALID|SELF|UNABLE)_/.test(code)
    ? codeOf(error.cause) || code
    : code;
}
