/** What certificate files hold, checked whole before any of it is used. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { AdtallyError, messageOf } from "../../core/errors.ts";
import { programsOf } from "./names.ts";

/** Some of the three: who only checks others needs the authorities alone. A key goes with its certificate. */
export interface AnyFiles {
  /** Authorities that peers are checked against. While one replaces another: both, in one file. */
  readonly caPath?: string;
  /** Own certificate first, then those between it and the authority. */
  readonly certPath?: string;
  readonly keyPath?: string;
}

/** Of a server for anyone. */
export interface ServerFiles extends AnyFiles {
  readonly certPath: string;
  readonly keyPath: string;
}

/** Of a program towards the others. */
export interface CertificateFiles extends ServerFiles {
  readonly caPath: string;
}

type Held<Path> = Path extends string ? Buffer : undefined;

export interface Material<F extends AnyFiles = CertificateFiles> {
  readonly ca: Held<F["caPath"]>;
  readonly cert: Held<F["certPath"]>;
  readonly key: Held<F["keyPath"]>;
  /** The first end of validity among the chain's certificates; of authorities alone the last one. */
  readonly notAfterMs: number;
  /** For how long that certificate is valid in all. */
  readonly lifetimeMs: number;
  /** Whom the own certificate names. */
  readonly programs: readonly string[];
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * `mustBeSigned`: by one of `caPath`, as between our own programs. Where the files are for others'
 * servers, their authority need not be that of our certificate.
 *
 * @throws CONFIG_INVALID, naming the file and what is wrong with it
 */
export async function readMaterial<F extends AnyFiles>(
  files: F,
  nowMs: number,
  mustBeSigned = false,
): Promise<Material<F>> {
  const { caPath, certPath, keyPath }: AnyFiles = files;
  const lone = certPath === undefined ? keyPath : keyPath === undefined ? certPath : undefined;
  if (lone !== undefined) throw invalid(lone, "a certificate needs its key, and a key its certificate");
  const [ca, cert, key] = await Promise.all([caPath, certPath, keyPath].map(read));
  const authorities = caPath === undefined || ca === undefined ? [] : authoritiesIn(caPath, ca, nowMs);
  const first = authorities[0];
  let used = first === undefined ? [] : [first];
  let programs: readonly string[] = [];
  if (certPath !== undefined && keyPath !== undefined && cert !== undefined && key !== undefined) {
    const chain = certificatesIn(certPath, cert);
    const leaf = chain[0]!;
    assertKey(keyPath, certPath, leaf, key);
    const own = chainOf(chain, authorities);
    const last = own.at(-1)!;
    if (mustBeSigned && caPath !== undefined && !authorities.includes(last))
      throw invalid(certPath, `${nameOf(last)} is signed by no authority of ${caPath}`);
    for (const certificate of own) assertValid(certPath, certificate, nowMs);
    try {
      createSecureContext({ ca, cert, key });
    } catch (error) {
      throw invalid(certPath, messageOf(error));
    }
    used = [...used, ...own];
    programs = programsOf(leaf);
  }
  const [next] = used.sort((a, b) => a.validToDate.getTime() - b.validToDate.getTime());
  if (next === undefined) throw new AdtallyError("CONFIG_INVALID", "no certificate file is given");
  const notAfterMs = next.validToDate.getTime();
  const lifetimeMs = notAfterMs - next.validFromDate.getTime();
  return { ca, cert, key, notAfterMs, lifetimeMs, programs } as Material<F>;
}

async function read(path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path);
  } catch (error) {
    throw invalid(path, messageOf(error));
  }
}

/** The one that is valid longest first: a bundle keeps authorities that have had their time. */
function authoritiesIn(path: string, bytes: Buffer, nowMs: number): readonly X509Certificate[] {
  const authorities = certificatesIn(path, bytes);
  for (const authority of authorities) {
    if (!authority.ca) throw invalid(path, `${nameOf(authority)} is not an authority's certificate`);
  }
  const sorted = [...authorities].sort((a, b) => b.validToDate.getTime() - a.validToDate.getTime());
  assertValid(path, sorted[0]!, nowMs);
  return sorted;
}

function certificatesIn(path: string, bytes: Buffer): readonly X509Certificate[] {
  const texts = bytes.toString("latin1").match(PEM);
  if (texts === null) throw invalid(path, "it holds no certificate in PEM");
  try {
    return texts.map((text) => new X509Certificate(text));
  } catch (error) {
    throw invalid(path, messageOf(error));
  }
}

function assertKey(keyPath: string, certPath: string, leaf: X509Certificate, key: Buffer): void {
  let isOurs: boolean;
  try {
    isOurs = leaf.checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    throw invalid(keyPath, `it holds no private key in PEM: ${messageOf(error)}`);
  }
  if (!isOurs) throw invalid(keyPath, `it is not the key of the certificate in ${certPath}`);
}

/** From the leaf up to an authority, or as far as the files reach. */
function chainOf(
  chain: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): readonly X509Certificate[] {
  const used = [chain[0]!];
  for (;;) {
    const last = used.at(-1)!;
    const signs = (by: X509Certificate) => last.checkIssued(by) && last.verify(by.publicKey);
    const authority = authorities.find(signs);
    if (authority !== undefined) return used.includes(authority) ? used : [...used, authority];
    const between = chain.find((one) => !used.includes(one) && signs(one));
    if (between === undefined) return used;
    used.push(between);
  }
}

function assertValid(path: string, certificate: X509Certificate, nowMs: number): void {
  const { validFromDate: from, validToDate: to } = certificate;
  if (nowMs >= from.getTime() && nowMs < to.getTime()) return;
  const when =
    nowMs < from.getTime() ? `is not valid before ${from.toISOString()}` : `expired at ${to.toISOString()}`;
  throw invalid(path, `${nameOf(certificate)} ${when}, and it is ${new Date(nowMs).toISOString()}`);
}

function nameOf({ subject }: X509Certificate): string {
  return `the certificate of "${subject.replaceAll("\n", ", ")}"`;
}

function invalid(path: string, what: string): AdtallyError {
  return new AdtallyError(
    "CONFIG_INVALID",
    `${path}: ${what}; make good files, or see npm run dev-ca -- --help`,
  );
}
