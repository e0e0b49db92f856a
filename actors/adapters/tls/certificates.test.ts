import { X509Certificate } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../runtime/clock.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { observeCertificates } from "./metrics.ts";
import { createAuthority } from "./authority.ts";
import { readMaterial, type AnyFiles } from "./material.ts";
import { peerFault, programsOf } from "./names.ts";
import { testAuthority, validity, withFolder } from "./tls.fixture.ts";
import type { PeerCertificate } from "node:tls";
import type { Authority } from "./authority.ts";
import type { TestFiles } from "./tls.fixture.ts";

let folder: Awaited<ReturnType<typeof withFolder>>;
let authority: Authority;
let own: TestFiles;

beforeEach(async () => {
  folder = await withFolder();
  authority = await testAuthority();
  own = folder.files("actor");
  await own.issue(authority, { program: "actor" });
});
afterEach(() => folder.remove());

const stored = async (program: string, hosts: readonly string[] = []) =>
  new X509Certificate((await authority.issue({ program, hosts, ...validity() })).certificate);

describe("T1 at start a bad file ends the program, by name", () => {
  it.each<[string, RegExp, () => Promise<void>]>([
    ["no such key", /actor\.key: ENOENT/, () => rm(own.files.keyPath)],
    [
      "a key that is none",
      /actor\.key: it holds no private key/,
      () => writeFile(own.files.keyPath, "hello"),
    ],
    [
      "another's key",
      /actor\.key: it is not the key of the certificate in .*actor\.crt/,
      async () => writeFile(own.files.keyPath, (await authority.issue({ hosts: [], ...validity() })).key),
    ],
    ["no certificate", /actor\.crt: it holds no certificate/, () => writeFile(own.files.certPath, "hello")],
    [
      "a broken certificate",
      /actor\.crt: /,
      () => writeFile(own.files.certPath, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ],
    [
      "another authority",
      /actor\.crt: the certificate of "CN=actor" is signed by no authority of .*actor-ca\.crt/,
      async () => own.issue(await testAuthority(), { program: "actor" }, authority.certificate),
    ],
    [
      "no authority",
      /actor-ca\.crt: the certificate of "CN=actor" is not an authority/,
      async () =>
        own.issue(
          authority,
          { program: "actor" },
          (await authority.issue({ program: "actor", hosts: [], ...validity() })).certificate,
        ),
    ],
    [
      "expired",
      /actor\.crt: the certificate of "CN=actor" expired at /,
      () => own.issue(authority, { program: "actor", ...validity(-1.5) }),
    ],
    [
      "not valid yet",
      /actor\.crt: the certificate of "CN=actor" is not valid before /,
      () => own.issue(authority, { program: "actor", ...validity(1.5) }),
    ],
    [
      "another program",
      /names spiffe:\/\/adtally\/query, and this is spiffe:\/\/adtally\/actor/,
      () => own.issue(authority, { program: "query" }),
    ],
  ])("%s", async (_name, message, spoil) => {
    await spoil();
    await expect(own.open("actor")).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(message),
    });
  });
});

describe("while the program runs", () => {
  it("T2 a good new certificate is taken up, and told once", async () => {
    const certificates = await own.open("actor");
    const told: unknown[] = [];
    certificates.subscribe((material) => told.push(material));
    const before = certificates.current;
    await own.issue(authority, { program: "actor" });
    await expect.poll(() => certificates.current).not.toBe(before);
    await certificates.reload();
    expect(told).toEqual([certificates.current]);
    expect(certificates.fault).toBeUndefined();
  });

  it("T1 a bad new one is refused by name, and the old one stays in use", async () => {
    const certificates = await own.open("actor");
    const before = certificates.current;
    await own.issue(authority, { program: "actor", ...validity(-1.5) });
    await expect.poll(() => certificates.fault).toMatch(/actor\.crt: .* expired at/);
    expect(certificates.current).toBe(before);
    await own.issue(authority, { program: "actor" });
    await expect.poll(() => certificates.fault).toBeUndefined();
    expect(certificates.current).not.toBe(before);
  });

  it("metrics tell for how long, and that new files were refused, of the sets in use alone", async () => {
    const certificates = await own.open("actor");
    const metrics = createMetrics({ process: false });
    observeCertificates(metrics, { ...systemClock, now: () => 5_000 }, new Map([["programs", certificates]]));
    const seconds = certificates.current.notAfterMs / 1_000 - 5;
    expect(await metrics.text()).toContain(`adtally_certificate_expiry_seconds{of="programs"} ${seconds}`);
    expect(await metrics.text()).toContain('adtally_certificate_files_refused{of="programs"} 0');
    await writeFile(own.files.certPath, "hello");
    await certificates.reload();
    expect(await metrics.text()).toContain('adtally_certificate_files_refused{of="programs"} 1');
    expect(await metrics.text()).not.toContain("kafka");
  });

  it("T2 a key that comes later than its certificate is waited for", async () => {
    const certificates = await own.open("actor");
    const before = certificates.current;
    const next = await authority.issue({ program: "actor", hosts: [], ...validity() });
    await writeFile(own.files.certPath, next.certificate);
    await expect.poll(() => certificates.fault).toMatch(/is not the key of/);
    await writeFile(own.files.keyPath, next.key);
    await expect.poll(() => certificates.current.cert.toString()).toBe(next.certificate);
    expect(before.cert.toString()).not.toBe(next.certificate);
  });

  it("a file rewritten with the same bytes is no news", async () => {
    const certificates = await own.open("actor");
    let told = 0;
    certificates.subscribe(() => (told += 1));
    await writeFile(own.files.keyPath, certificates.current.key);
    await certificates.reload();
    expect(told).toBe(0);
  });
});

describe("files that are not all three", () => {
  const read = (files: AnyFiles) => readMaterial(files, Date.now());

  it("authorities alone: the last of them to expire counts, and one that has is no fault beside another", async () => {
    const { caPath } = own.files;
    const old = await createAuthority({ name: "old", ...validity(-1.5) });
    await writeFile(caPath, old.certificate + authority.certificate);
    expect(await read({ caPath })).toMatchObject({
      notAfterMs: authority.notAfter.setMilliseconds(0),
      cert: undefined,
    });
    await writeFile(caPath, old.certificate);
    await expect(read({ caPath })).rejects.toThrow(/actor-ca\.crt: the certificate of "CN=old" expired at/);
  });

  it("a certificate and its key alone, of an authority that nobody named", async () => {
    const { certPath, keyPath } = own.files;
    expect((await read({ certPath, keyPath })).programs).toEqual(["actor"]);
    await own.issue(authority, validity(-1.5));
    await expect(read({ certPath, keyPath })).rejects.toThrow(/actor\.crt: .* expired at/);
  });

  it("towards others' servers the own certificate may be of another authority than theirs", async () => {
    await own.issue(await testAuthority("ours"), {}, authority.certificate);
    await expect(own.open()).resolves.toBeDefined();
  });
});

describe("the program that a certificate names", () => {
  it("is its URI", async () => {
    expect(programsOf(await stored("gateway", ["localhost", "10.0.0.1"]))).toEqual(["gateway"]);
  });

  it("cannot be smuggled in by another name", async () => {
    expect(programsOf(await stored("x, URI:spiffe://adtally/actor"))).toEqual([]);
    expect(programsOf(await stored("query", ["a, URI:spiffe://adtally/actor"]))).toEqual(["query"]);
    expect(programsOf(await stored('query", URI:spiffe://adtally/actor, URI:"'))).toEqual([]);
  });

  it("is said where it is not the one wanted", async () => {
    const peer = (certificate: X509Certificate) => ({ raw: certificate.raw }) as PeerCertificate;
    expect(peerFault(peer(await stored("actor")), ["actor"])).toBeUndefined();
    expect(peerFault(peer(await stored("actor2")), ["actor"])).toMatch(
      /names spiffe:\/\/adtally\/actor2, and/,
    );
    expect(peerFault({} as PeerCertificate, ["actor", "query"])).toMatch(/showed no certificate/);
    expect(peerFault(undefined, ["actor"])).toMatch(/showed no certificate/);
  });
});
