/** What certificate files hold, checked whole before any of it is used. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { AdtallyError, messageOf } from "../../core/errors.ts";
import { programsOf } from "./names.ts";

export interface CertificateFiles {
  /** Authorities that peers are checked against. While one replaces another: both, in one file. */
  readonly caPath: string;
  /** Own certificate first, then those between it and the authority. */
  readonly certPath: string;
  readonly keyPath: string;
}

export interface Material {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
  /** The first end of validity among the chain's certificates. */
  readonly notAfterMs: number;
  readonly programs: readonly string[];
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** @throws CONFIG_INVALID, naming the file and what is wrong with it */
export async function readMaterial(files: CertificateFiles, nowMs: number): Promise<Material> {
  const read = async (path: string): Promise<Buffer> => {
    try {
      return await readFile(path);
    } catch (error) {
      throw invalid(path, messageOf(error));
    }
  };
  const paths = [files.caPath, files.certPath, files.keyPath];
  const [ca, cert, key] = (await Promise.all(paths.map(read))) as [Buffer, Buffer, Buffer];
  const authorities = certificatesIn(files.caPath, ca);
  for (const authority of authorities) {
    if (!authority.ca) throw invalid(files.caPath, `${nameOf(authority)} is not an authority's certificate`);
  }
  const chain = certificatesIn(files.certPath, cert);
  const leaf = chain[0]!;
  assertKey(files, leaf, key);
  const used = chainOf(files, chain, authorities);
  for (const certificate of used) assertValid(files.certPath, certificate, nowMs);
  try {
    createSecureContext({ ca, cert, key });
  } catch (error) {
    throw invalid(files.certPath, messageOf(error));
  }
  const notAfterMs = Math.min(...used.map(({ validToDate }) => validToDate.getTime()));
  return { ca, cert, key, notAfterMs, programs: programsOf(leaf) };
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

function assertKey({ keyPath, certPath }: CertificateFiles, leaf: X509Certificate, key: Buffer): void {
  let isOurs: boolean;
  try {
    isOurs = leaf.checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    throw invalid(keyPath, `it holds no private key in PEM: ${messageOf(error)}`);
  }
  if (!isOurs) throw invalid(keyPath, `it is not the key of the certificate in ${certPath}`);
}

/** From the leaf up to an authority. */
function chainOf(
  { certPath, caPath }: CertificateFiles,
  chain: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): readonly X509Certificate[] {
  const used = [chain[0]!];
  for (;;) {
    const last = used.at(-1)!;
    const signs = (by: X509Certificate) => last.checkIssued(by) && last.verify(by.publicKey);
    const authority = authorities.find(signs);
    if (authority !== undefined) return [...used, authority];
    const between = chain.find((one) => !used.includes(one) && signs(one));
    if (between === undefined)
      throw invalid(certPath, `${nameOf(last)} is signed by no authority of ${caPath}`);
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
