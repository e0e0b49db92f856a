/** The embedded program with two tenants' objects, and one key of every kind: for isolation.integration.test.ts. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { systemClock, systemRandom } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { startLocal, type Local } from "./local.ts";

const ADMIN_KEY = "isolation-admin-key";
/** Read of tenant A, placement of tenant A. */
export const KINDS = [
  "none",
  "malformed",
  "unknown",
  "expired",
  "revoked",
  "readA",
  "readB",
  "placement",
  "placementA",
  "submit",
  "admin",
] as const;
export type Kind = (typeof KINDS)[number];
/** Those whose sender nobody knows. */
export const STRANGERS: readonly Kind[] = ["none", "malformed", "unknown", "expired", "revoked"];

export interface Tenant {
  readonly advertiser: string;
  readonly campaign: string;
  readonly ad: string;
  /** Of a click that was counted; of tenants that do not exist, any. */
  readonly impression: string;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

export interface Isolation {
  readonly local: Local;
  readonly a: Tenant;
  readonly b: Tenant;
  /** As b, but there is no such thing. */
  readonly nobody: Tenant;
  /** A key that may be revoked in the course of a test. */
  makeKey(terms: object): Promise<{ readonly key: string; readonly keyId: string }>;
  authorization(kind: Kind): string | undefined;
  ask(kind: Kind | { readonly key: string }, method: string, path: string, body?: unknown): Promise<Answer>;
  close(): Promise<void>;
}

const A = { advertiser: "910000001", campaign: "920000001", ad: "930000001" };
const B = { advertiser: "910000002", campaign: "920000002", ad: "930000002" };
const NOBODY = { advertiser: "910000009", campaign: "920000009", ad: "930000009" };

export async function openIsolation(): Promise<Isolation> {
  const dataDir = await mkdtemp(join(tmpdir(), "adtally-isolation-"));
  const local = await startLocal({
    config: {
      host: "127.0.0.1",
      httpPort: 0,
      grpcPort: 0,
      clickhousePort: 0,
      dataDir,
      shards: 2,
      adminKey: ADMIN_KEY,
      publicUrl: undefined,
      openReports: false,
      demo: true,
      logLevel: "silent",
    },
    version: "0.0.0",
    limits: DEFAULT_LIMITS,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    progress: () => {},
  });
  const keys = new Map<Kind, string | undefined>([
    ["none", undefined],
    ["malformed", "Bearer"],
    ["unknown", "Bearer adk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
    ["admin", `Bearer ${ADMIN_KEY}`],
  ]);

  async function ask(
    kind: Kind | { readonly key: string },
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Answer> {
    const authorization = typeof kind === "string" ? keys.get(kind) : `Bearer ${kind.key}`;
    const stopping = new AbortController();
    const response = await fetch(`${local.url}${path}`, {
      method,
      redirect: "manual",
      signal: stopping.signal,
      headers: {
        ...(authorization !== undefined && { authorization }),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    if (response.headers.get("content-type")?.startsWith("text/event-stream") === true) {
      // It has no end of its own: what it begins with will do.
      const first = await response.body!.getReader().read();
      stopping.abort();
      return { status: response.status, body: Buffer.from(first.value ?? []).toString() };
    }
    return { status: response.status, body: await response.text() };
  }

  async function makeKey(terms: object) {
    const { status, body } = await ask("admin", "POST", "/v1/keys", terms);
    if (status !== 201) throw new Error(`no key was made: ${status} ${body}`);
    const { key, key_id: keyId } = JSON.parse(body) as { key: string; key_id: string };
    return { key, keyId };
  }

  async function keep(kind: Kind, terms: object): Promise<string> {
    const { key, keyId } = await makeKey({ name: kind, ...terms });
    keys.set(kind, `Bearer ${key}`);
    return keyId;
  }

  /** An ad with one click that was counted. */
  async function tenant(of: Omit<Tenant, "impression">): Promise<Tenant> {
    await ask("admin", "POST", "/v1/ads", {
      ad_id: of.ad,
      campaign_id: of.campaign,
      advertiser_id: of.advertiser,
      destination_url: "https://shop.example/",
    });
    const issued = await ask("admin", "POST", "/v1/impressions", { ad_id: of.ad });
    const [one] = (JSON.parse(issued.body) as { impressions: { impression_id: string; click_url: string }[] })
      .impressions;
    await fetch(one!.click_url, { redirect: "manual" });
    return { ...of, impression: one!.impression_id };
  }

  await keep("expired", { scopes: ["read"], advertisers: ["910000001"], expires_at: soon() });
  const revoked = await keep("revoked", { scopes: ["read", "placement"], advertisers: "all" });
  await keep("readA", { scopes: ["read"], advertisers: [A.advertiser] });
  await keep("readB", { scopes: ["read"], advertisers: [B.advertiser] });
  await keep("placement", { scopes: ["placement"] });
  await keep("placementA", { scopes: ["placement"], advertisers: [A.advertiser] });
  await keep("submit", { scopes: ["submit"] });
  const [a, b] = [await tenant(A), await tenant(B)];
  const removed = await ask("admin", "DELETE", `/v1/keys/${revoked}`);
  if (removed.status !== 204) throw new Error(`the key was not revoked: ${removed.body}`);
  return {
    local,
    a,
    b,
    nobody: { ...NOBODY, impression: "019bf000-0000-7000-8000-000000000009" },
    makeKey,
    authorization: (kind) => keys.get(kind),
    ask,
    async close() {
      await local.close();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    },
  };
}

const soon = () => new Date(systemClock.now() + 1_000).toISOString();
