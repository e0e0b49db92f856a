import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { readMaterial } from "../../actors/adapters/tls/material.ts";
import { makeDevCa, type DevCaRequest } from "./make.ts";

const DAY_MS = 86_400_000;
const nowMs = 1_790_000_000_000;
let dir: string;
beforeEach(async () => void (dir = await mkdtemp(path.join(tmpdir(), "adtally-dev-ca-"))));
afterEach(() => rm(dir, { recursive: true }));

const make = (change: Partial<DevCaRequest> = {}) =>
  makeDevCa({
    dir,
    hosts: ["localhost"],
    programs: ["gateway", "actor"],
    days: 30,
    over: "nothing",
    nowMs,
    ...change,
  });
const material = (program: string) =>
  readMaterial(
    {
      caPath: path.join(dir, "ca.crt"),
      certPath: path.join(dir, `${program}.crt`),
      keyPath: path.join(dir, `${program}.key`),
    },
    nowMs,
  );

it("makes files that the programs take, that nobody else reads, and says until when", async () => {
  const made = await make({ hosts: ["localhost", "10.0.0.7"] });
  expect(made.map((one) => path.basename(one.path))).toEqual(["ca.crt", "gateway.crt", "actor.crt"]);
  const { programs, notAfterMs, cert } = await material("gateway");
  expect(programs).toEqual(["gateway"]);
  expect(notAfterMs).toBe(nowMs + 30 * DAY_MS);
  expect(made.every(({ notAfter }) => notAfter.getTime() === notAfterMs)).toBe(true);
  const leaf = new X509Certificate(cert);
  expect([leaf.checkHost("localhost"), leaf.checkIP("10.0.0.7")]).toEqual(["localhost", "10.0.0.7"]);
  for (const name of ["ca.key", "ca.crt", "gateway.key", "gateway.crt"]) {
    expect((await stat(path.join(dir, name))).mode & 0o777).toBe(0o600);
  }
});

it("writes over nothing unless told to", async () => {
  await make();
  const before = await readFile(path.join(dir, "ca.crt"), "utf8");
  await expect(make()).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringMatching(/--force/),
  });
  expect(await readFile(path.join(dir, "ca.crt"), "utf8")).toBe(before);
  await make({ over: "force" });
  expect(await readFile(path.join(dir, "ca.crt"), "utf8")).not.toBe(before);
});

it("--renew keeps the authority, and outlives it by nothing", async () => {
  await make();
  const ca = await readFile(path.join(dir, "ca.crt"), "utf8");
  const before = await readFile(path.join(dir, "actor.crt"), "utf8");
  await make({ over: "renew", days: 300, programs: ["actor"] });
  expect(await readFile(path.join(dir, "ca.crt"), "utf8")).toBe(ca);
  expect((await material("actor")).cert.toString()).not.toBe(before);
  const leaf = new X509Certificate(await readFile(path.join(dir, "actor.crt")));
  expect(leaf.validToDate.getTime()).toBe(nowMs + 30 * DAY_MS);
});

it("--renew says when there is nothing to renew, or it is too late", async () => {
  await expect(make({ over: "renew" })).rejects.toMatchObject({
    message: expect.stringMatching(/ca\.crt.*ENOENT/),
  });
  await make();
  const late = make({ over: "renew", nowMs: nowMs + 31 * DAY_MS });
  await expect(late).rejects.toMatchObject({ message: expect.stringMatching(/expired at .*--force/) });
});
