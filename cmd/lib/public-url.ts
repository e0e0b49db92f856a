/** The URL of a server by the address that it listens on. */
import { isIPv6 } from "node:net";

const hostIn = (host: string): string => {
  const written = isIPv6(host) ? `[${host}]` : host;
  return URL.canParse(`http://${written}`) ? new URL(`http://${written}`).hostname : written;
};

/** Whether a server on `host` listens on every address, so that none of them is its own. */
export function isWildcard(host: string): boolean {
  return ["0.0.0.0", "[::]"].includes(hostIn(host));
}

/** How a browser on this machine reaches it: a wildcard is no address that one can go to. */
export function urlOf(host: string, port: number, scheme: "http" | "https" = "http"): string {
  return `${scheme}://${isWildcard(host) ? "localhost" : hostIn(host)}:${port}`;
}
