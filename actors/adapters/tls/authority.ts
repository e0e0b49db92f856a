/**
 * A certificate authority of our own, for development and tests: node:crypto reads X.509 and
 * signs anything but certificates, so @peculiar/x509 writes them. Keys are ECDSA P-256.
 *
 * A program's certificate carries its name as a URI (names.ts), the hosts it is reached at as
 * DNS names and IP addresses, and serves for both ends of a connection.
 */
// The library's own dependency asks for this polyfill, before it is loaded.
import "reflect-metadata";
import { createPrivateKey, KeyObject } from "node:crypto";
import { isIP } from "node:net";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  AuthorityKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { uriOf } from "./names.ts";

export interface Pem {
  readonly certificate: string;
  readonly key: string;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface IssueRequest extends Validity {
  /** Without: a certificate of no program. */
  readonly program?: string;
  readonly hosts: readonly string[];
}

export interface Authority extends Pem {
  readonly notAfter: Date;
  issue(request: IssueRequest): Promise<Pem>;
}

const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

export async function createAuthority({
  name,
  notBefore,
  notAfter,
}: Validity & { readonly name: string }): Promise<Authority> {
  const keys = await crypto.subtle.generateKey(ECDSA, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [name] }],
    keys,
    notBefore,
    notAfter,
    signingAlgorithm: ECDSA,
    extensions: [
      // No authority below this one.
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return authorityOf(certificate, keys.privateKey);
}

/** An authority that was made before. @throws where either is not what it should be */
export async function readAuthority({ certificate, key }: Pem): Promise<Authority> {
  const der = createPrivateKey(key).export({ type: "pkcs8", format: "der" });
  const signingKey = await crypto.subtle.importKey("pkcs8", new Uint8Array(der), ECDSA, true, ["sign"]);
  return authorityOf(new X509Certificate(certificate), signingKey);
}

function authorityOf(own: X509Certificate, signingKey: CryptoKey): Authority {
  return {
    certificate: pemOf(own),
    key: keyPem(signingKey),
    notAfter: own.notAfter,
    async issue({ program, hosts, notBefore, notAfter }) {
      const keys = await crypto.subtle.generateKey(ECDSA, true, ["sign", "verify"]);
      const names = hosts.map((host) => {
        return { type: isIP(host) === 0 ? ("dns" as const) : ("ip" as const), value: host };
      });
      const uri = program === undefined ? [] : [{ type: "url" as const, value: uriOf(program) }];
      const certificate = await X509CertificateGenerator.create({
        subject: [{ CN: [program ?? "nobody"] }],
        issuer: own.subject,
        publicKey: keys.publicKey,
        signingKey,
        signingAlgorithm: ECDSA,
        notBefore,
        notAfter,
        extensions: [
          new BasicConstraintsExtension(false, undefined, true),
          new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
          new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
          new SubjectAlternativeNameExtension([...uri, ...names]),
          await AuthorityKeyIdentifierExtension.create(own.publicKey),
          await SubjectKeyIdentifierExtension.create(keys.publicKey),
        ],
      });
      return { certificate: pemOf(certificate), key: keyPem(keys.privateKey) };
    },
  };
}

const pemOf = (certificate: X509Certificate): string => `${certificate.toString("pem")}\n`;

function keyPem(key: CryptoKey): string {
  return KeyObject.from(key).export({ type: "pkcs8", format: "pem" }) as string;
}
