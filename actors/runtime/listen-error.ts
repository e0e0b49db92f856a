/**
 * Why a server could not listen, by name: a port that is taken is another fault than an address
 * that this machine does not have, and each is mended by another flag.
 */
import { AdtallyError, messageOf } from "../core/errors.ts";

export interface ListenAttempt {
  /** "HTTP", "gRPC". */
  readonly what: string;
  readonly host: string;
  readonly port: number;
  readonly portFlag: string;
}

/** PORT_IN_USE, or CONFIG_INVALID where another port would not help. gRPC has the code in its text alone. */
export function listenError(
  { what, host, port, portFlag }: ListenAttempt,
  error: NodeJS.ErrnoException,
): AdtallyError {
  const said = `${error.code ?? ""} ${messageOf(error)}`;
  const failed = `${what} cannot listen on ${host}:${port}`;
  const because = (code: "PORT_IN_USE" | "CONFIG_INVALID", why: string) =>
    new AdtallyError(code, `${failed}: ${why}`, { cause: error });
  if (said.includes("EADDRINUSE"))
    return because("PORT_IN_USE", `the port is taken; choose another with ${portFlag}`);
  if (/EACCES|EPERM/.test(said))
    return because("CONFIG_INVALID", `not allowed; choose a port from 1024 on with ${portFlag}`);
  return because(
    "CONFIG_INVALID",
    `"${host}" is not an address of this machine (${messageOf(error)}); choose another with --host, such as 127.0.0.1, or 0.0.0.0 for all`,
  );
}
