import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePorts } from "../../../testing/servers/process.ts";
import { createAuthority } from "../tls/authority.ts";
import { createRedisBus } from "./bus.ts";
import { common, describeWithRedis, startTestRedis, type TestRedis } from "./redis.fixture.ts";

const DAY_MS = 86_400_000;
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
      await expect.poll(knock, { timeout: 5_000 }).toBeGreaterThan(0);
    });

    it("refuses who shows none, or another authority's; and is refused where it is not the one asked for", async () => {
      const { certificate, key } = await (await stranger).issue({ hosts: [], ...valid });
      const { certificate: ownCert, key: ownKey } = await (await own).issue({ hosts: [], ...valid });
      const ca = (await own).certificate;
      const attempts: [string, object, RegExp][] = [
        [url, { ca }, /certificate required|closed|reset|EPIPE/i],
        [url, { ca, cert: certificate, key }, /alert|unknown ca|closed|reset|EPIPE/i],
        [
          url,
          { ca: (await stranger).certificate, cert: ownCert, key: ownKey },
          /unable to|self.signed|issuer/i,
        ],
        [url.replace("localhost", "127.0.0.1"), { ca, cert: ownCert, key: ownKey }, /IP: 127.0.0.1/],
      ];
      for (const [to, tls, why] of attempts) {
        const connection = redis.connect({ url: to, tls });
        await expect(connection.run("ping", (client) => client.ping())).rejects.toThrow();
        await expect.poll(() => connection.health.lastError, { timeout: 5_000 }).toMatch(why);
        expect(connection.isReady).toBe(false);
      }
    });
  });
});
