/**
 * Who a peer is: the name of its program, as a URI among its certificate's alternative names,
 * `spiffe://adtally/actor`. Hosts come and go with other addresses, and each host of one program
 * may do the same: so between our own programs this name is checked, and the host's is not.
 */
import { X509Certificate } from "node:crypto";
import type { PeerCertificate } from "node:tls";

/** Those that speak with one another. */
export const PROGRAMS = ["gateway", "actor", "query", "ingest", "operator"] as const;
export type Program = (typeof PROGRAMS)[number];

const TRUST_DOMAIN = "spiffe://adtally/";

/** One alternative name as Node prints it: what could be mistaken for several is quoted as JSON. */
const NAME = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)/gy;

export function uriOf(program: string): string {
  return `${TRUST_DOMAIN}${program}`;
}

/** The programs that a certificate names; a name that had to be quoted is none of ours. */
export function programsOf(certificate: X509Certificate): readonly string[] {
  return [...(certificate.subjectAltName ?? "").matchAll(NAME)]
    .filter(([, kind, value]) => kind === "URI" && value!.startsWith(TRUST_DOMAIN))
    .map(([, , value]) => value!.slice(TRUST_DOMAIN.length));
}

/** Why the peer is not one of `programs`; undefined when it is. Its chain is verified before. */
export function peerFault(
  peer: PeerCertificate | undefined,
  programs: readonly Program[],
): string | undefined {
  const wanted = programs.map(uriOf).join(" or ");
  if (peer?.raw === undefined) return `the peer showed no certificate, and ${wanted} is wanted`;
  const named = programsOf(new X509Certificate(peer.raw));
  if (named.some((name) => programs.includes(name as Program))) return undefined;
  const shown = named.length === 0 ? "names no program" : `names ${named.map(uriOf).join(", ")}`;
  return `the peer's certificate ${shown}, and ${wanted} is wanted`;
}
