/**
 * The certificates of a cluster for tests: one authority, a server's certificate for the API
 * server, and a client's for each who speaks to it. Kubernetes reads who a client is from the
 * subject: the common name is the user, each organisation a group.
 */
// The library's own dependency asks for this polyfill, before it is loaded.
import "reflect-metadata";
import { generateKeyPairSync, KeyObject } from "node:crypto";
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type X509Certificate,
} from "@peculiar/x509";

export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export interface ClusterAuthority {
  readonly certificate: string;
  issue(subject: {
    readonly user: string;
    readonly groups?: readonly string[];
    /** With: it serves as well, at these addresses and names. */
    readonly hosts?: readonly string[];
  }): Promise<KeyPair>;
}

const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const HOUR_MS = 3_600_000;

export async function createClusterAuthority(): Promise<ClusterAuthority> {
  const notBefore = new Date(Date.now() - HOUR_MS);
  const notAfter = new Date(Date.now() + 30 * 24 * HOUR_MS);
  const keys = await newKeys();
  const authority = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: ["adtally test cluster"] }],
    keys,
    notBefore,
    notAfter,
    signingAlgorithm: ECDSA,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  return {
    certificate: certificatePem(authority),
    async issue({ user, groups = [], hosts = [] }) {
      const own = await newKeys();
      const names = hosts.map(
        (value) => ({ type: isIP(value) === 0 ? ("dns" as const) : "ip", value }) as const,
      );
      const certificate = await X509CertificateGenerator.create({
        subject: [...groups.map((group) => ({ O: [group] })), { CN: [user] }],
        issuer: authority.subject,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ECDSA,
        notBefore,
        notAfter,
        extensions: [
          new BasicConstraintsExtension(false, undefined, true),
          new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
          new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
          ...(names.length > 0 ? [new SubjectAlternativeNameExtension([...names])] : []),
          await AuthorityKeyIdentifierExtension.create(authority.publicKey),
        ],
      });
      return { certificate: certificatePem(certificate), key: keyPem(own.privateKey) };
    },
  };
}

/** The keys by which the cluster signs the tokens of its service accounts. */
export function createTokenKeys(): { readonly publicKey: string; readonly privateKey: string } {
  return generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
}

const newKeys = () => crypto.subtle.generateKey(ECDSA, true, ["sign", "verify"]);

const certificatePem = (certificate: X509Certificate): string => `${certificate.toString("pem")}\n`;

const keyPem = (key: CryptoKey): string =>
  KeyObject.from(key).export({ type: "pkcs8", format: "pem" }) as string;
