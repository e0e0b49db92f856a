/** The click log over TLS: client certificates, SASL, certificates that do not fit, and those that are renewed. */
import type { SASLOptions } from "kafkajs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readAll } from "../../ports/click-log.conformance.ts";
import { sampleBlock } from "../../ports/click-log.sample.ts";
import type { Authority } from "../tls/authority.ts";
import { clientTls } from "../tls/clients.ts";
import { testAuthority, validity, withFolder, type TestFiles } from "../tls/tls.fixture.ts";
import { brokerLacks, openTestLog } from "./kafka.fixture.ts";
import { PASSWORD, startSecureBroker, USER, type SecureBroker } from "./secure-broker.fixture.ts";

const lacks = await brokerLacks();

describe.skipIf(lacks !== undefined)("a broker that speaks TLS", () => {
  let authority: Authority;
  let folder: Awaited<ReturnType<typeof withFolder>>;
  let own: TestFiles;
  let broker: SecureBroker;
  const issue = (byHours = 0) => authority.issue({ hosts: ["127.0.0.1"], ...validity(byHours) });
  beforeAll(async () => {
    authority = await testAuthority();
    folder = await withFolder();
    own = folder.files("actor");
    await own.issue(authority, { program: "actor" });
    broker = await startSecureBroker(authority.certificate, await issue());
  });
  afterAll(async () => {
    await broker.close();
    await folder.remove();
  });

  /** Makes topics, appends to one, and reads it back. */
  async function roundTrip(address: string, secured: Parameters<typeof openTestLog>[1]): Promise<void> {
    const test = await openTestLog(address, { partitions: 2, ...secured });
    const clicks = test.log.topic("clicks");
    expect([await clicks.append(0, sampleBlock(1)), await clicks.append(0, sampleBlock(2))]).toEqual([0, 1]);
    expect(await readAll(clicks, 0)).toHaveLength(2);
    await test.close();
  }

  it("that wants client certificates takes ours", async () => {
    await roundTrip(broker.ssl, { secured: { tls: clientTls(await own.open()) } });
  });

  it.each(["plain", "scram-sha-256", "scram-sha-512"] as const)(
    "takes user and password by %s",
    async (mechanism) => {
      const sasl = { mechanism, username: USER, password: PASSWORD } as SASLOptions;
      await roundTrip(broker.saslSsl, { secured: { sasl, tls: clientTls(await own.openAuthority()) } });
    },
  );

  /** Why topics cannot be made. */
  async function refusalOf(
    address: string,
    secured: NonNullable<Parameters<typeof openTestLog>[1]>["secured"],
  ) {
    return openTestLog(address, { secured: secured! }).then(
      () => "let in",
      (error: Error) => error.message,
    );
  }

  it("refuses a wrong password by name", async () => {
    const sasl = { mechanism: "scram-sha-512", username: USER, password: "no" } as const;
    const tls = clientTls(await own.openAuthority());
    expect(await refusalOf(broker.saslSsl, { sasl, tls })).toMatch(/SASL.*authentication failed/i);
  });

  it("refuses, by name, who shows no certificate, or one of another authority", async () => {
    const bare = { tls: clientTls(await own.openAuthority()) };
    expect(await refusalOf(broker.ssl, bare)).toMatch(
      /does not take our client certificate \(--kafka-tls-cert\): it is missing/,
    );
    const stranger = folder.files("stranger");
    await stranger.issue(await testAuthority("a stranger's"), {}, authority.certificate);
    expect(await refusalOf(broker.ssl, { tls: clientTls(await stranger.open()) })).toMatch(
      /alert.*does not take our client certificate.* or is of no authority that the server knows/,
    );
  });

  it("is refused by name where its authority is not ours", async () => {
    const other = folder.files("other");
    await other.issue(await testAuthority("another"));
    expect(await refusalOf(broker.saslSsl, { tls: clientTls(await other.openAuthority()) })).toMatch(
      /the server's certificate is of no authority in --kafka-tls-ca/,
    );
  });

  it("is refused by name once its certificate has expired, by a log that is open too; renewed, it is gone on with", async () => {
    const test = await openTestLog(broker.ssl, {
      partitions: 1,
      secured: { tls: clientTls(await own.open()) },
    });
    const clicks = test.log.topic("clicks");
    expect(await clicks.append(0, sampleBlock(1))).toBe(0);
    await broker.renew(await issue(-1.5));
    const refusal = () => clicks.append(0, sampleBlock(2)).then(String, (error: Error) => error.message);
    await expect.poll(refusal, { timeout: 10_000 }).toMatch(/CERT_HAS_EXPIRED.*has expired: renew it/);
    await broker.renew(await issue());
    const append = () => clicks.append(0, sampleBlock(2)).then(Number, () => -1);
    await expect.poll(append, { timeout: 10_000 }).toBeGreaterThan(0);
    await test.close();
  });
});
