import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePorts } from "../../../testing/servers/process.ts";
import { createAuthority } from "../tls/authority.ts";
import { createRedisBus } from "./bus.ts";
import { common, describeWithRedis, startTestRedis, type TestRedis } from "./redis.fixture.ts";

const DAY_MS = 86_400_000;
const REFUSED = /does not take our client certificate|closed|reset|EPIPE/;
const valid = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAY_MS) };

await describeWithRedis(() => {
  describe("a Redis that wants certificates", () => {
    let dir: string;
    let redis: TestRedis;
    let url: string;
    const [own, stranger] = [
      createAuthority({ name: "ours", ...valid }),
      createAuthority({ name: "a stranger's", ...valid }),
    ];
    beforeAll(async () => {
      dir = await mkdtemp(path.join(os.tmpdir(), "adtally-redis-tls-"));
      const at = (name: string) => path.join(dir, name);
      const { certificate, key } = await (await own).issue({ hosts: ["localhost"], ...valid });
      await writeFile(at("ca.crt"), (await own).certificate);
      await writeFile(at("redis.crt"), certificate);
      await writeFile(at("redis.key"), key);
      const [tlsPort] = await freePorts(1);
      const files = ["--tls-cert-file", at("redis.crt"), "--tls-key-file", at("redis.key")];
      redis = await startTestRedis([
        ...["--tls-port", String(tlsPort), "--tls-ca-cert-file", at("ca.crt")],
        ...files,
      ]);
      url = `rediss://localhost:${tlsPort}`;
    });
    afterAll(async () => {
      await redis.close();
      await rm(dir, { recursive: true });
    });

    it("serves who shows one of its authority: commands and messages", async () => {
      const { certificate, key } = await (await own).issue({ hosts: [], ...valid });
      const tls = { ca: (await own).certificate, cert: certificate, key };
      const connection = redis.connect({ url, tls });
      expect(await connection.run("ping", (client) => client.ping())).toBe("PONG");
      const bus = createRedisBus({ ...common, redis: connection });
      let heard = 0;
      bus.subscribe("feed", () => (heard += 1));
      const knock = () => {
        bus.publish("feed", new Uint8Array(1));
        return heard;
      };
      await expect.poll(knock, { timeout: 20_000 }).toBeGreaterThan(0);
    });

    it("refuses who shows none, or another authority's; and is refused where it is not the one asked for", async () => {
      const { certificate, key } = await (await stranger).issue({ hosts: [], ...valid });
      const { certificate: ownCert, key: ownKey } = await (await own).issue({ hosts: [], ...valid });
      const expired = await (
        await own
      ).issue({ hosts: [], ...valid, notAfter: new Date(Date.now() - 1_000) });
      const ca = (await own).certificate;
      const attempts: [string, object, RegExp][] = [
        [url, { ca }, /wants a client certificate: give --redis-tls-cert|closed|reset|EPIPE/],
        [url, { ca, cert: certificate, key }, REFUSED],
        [url, { ca, cert: expired.certificate, key: expired.key }, REFUSED],
        [
          url,
          { ca: (await stranger).certificate, cert: ownCert, key: ownKey },
          /is of no authority in --redis-tls-ca/,
        ],
        [
          url.replace("localhost", "127.0.0.1"),
          { ca, cert: ownCert, key: ownKey },
          /IP: 127.0.0.1.*does not name the host/,
        ],
      ];
      for (const [to, tls, why] of attempts) {
        const connection = redis.connect({ url: to, tls });
        await expect(connection.run("ping", (client) => client.ping())).rejects.toThrow();
        await expect.poll(() => connection.health.lastError, { timeout: 20_000 }).toMatch(why);
        expect(connection.isReady).toBe(false);
      }
    });

    it("takes a user and a password that stand in no URL, over TLS, and refuses others by name", async () => {
      await redis.command("acl", "setuser", "adtally", "on", ">hush-hush", "~*", "&*", "+@all");
      const { certificate, key } = await (await own).issue({ hosts: [], ...valid });
      const tls = { ca: (await own).certificate, cert: certificate, key };
      const connect = (password: string) => redis.connect({ url, tls, username: "adtally", password });
      const whoAmI = (password: string) =>
        connect(password).run("acl whoami", (client) => client.call("acl", "whoami"));
      expect(await whoAmI("hush-hush")).toBe("adtally");
      await expect(whoAmI("no")).rejects.toThrow(/WRONGPASS/);
    });

    it("is refused by name once its certificate has expired, and gone on with once that is renewed", async () => {
      const { certificate, key } = await (await own).issue({ hosts: [], ...valid });
      const tls = { ca: (await own).certificate, cert: certificate, key };
      const serve = async (name: string, notAfter: Date) => {
        const pem = await (await own).issue({ hosts: ["localhost"], ...valid, notAfter });
        const [crt, of] = [path.join(dir, `${name}.crt`), path.join(dir, `${name}.key`)];
        await writeFile(crt, pem.certificate);
        await writeFile(of, pem.key);
        await redis.command("config", "set", "tls-cert-file", crt, "tls-key-file", of);
      };
      await serve("expired", new Date(Date.now() - 1_000));
      const connection = redis.connect({ url, tls });
      const ping = () => connection.run("ping", (client) => client.ping()).catch(String);
      await expect.poll(ping, { timeout: 20_000 }).toMatch(/CERT_HAS_EXPIRED.*has expired: renew it/);
      await serve("renewed", valid.notAfter);
      await expect.poll(ping, { timeout: 20_000 }).toBe("PONG");
    });
  });
});
