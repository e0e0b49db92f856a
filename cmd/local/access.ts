/** Who may call the embedded form: stored keys, the admin's, the demo's; their allowance, and the audit log. */
import { join } from "node:path";
import { openFileAudit, type FileAudit } from "../../actors/adapters/audit/file-audit.ts";
import { createKeyLimits } from "../../actors/adapters/rate-limit/key-limits.ts";
import { createAuthenticator, type Authenticator, type GivenKey } from "../../actors/keys/authenticate.ts";
import type { KeyLimits } from "../../actors/keys/key-limits.ts";
import { startKeyUses } from "../../actors/keys/key-uses.ts";
import { createShareCodec, type ShareCodec } from "../../actors/keys/share.ts";
import type { KeyStore } from "../../actors/ports/key-store.ts";
import { DEMO_ADVERTISERS } from "./demo/ads.ts";
import { loadDemoKeys, loadShareKeys } from "./files.ts";
import type { LocalDeps } from "./local.ts";

export interface LocalAccess {
  readonly authenticator: Authenticator;
  readonly keyLimits: KeyLimits;
  readonly audit: FileAudit;
  readonly shares: ShareCodec;
  readonly demoKeys: readonly { readonly advertiser: string; readonly key: string }[];
  close(): Promise<void>;
}

export async function openAccess(
  { config, limits, clock, random, logger }: LocalDeps,
  store: KeyStore,
  adminKey: string,
): Promise<LocalAccess> {
  const { dataDir } = config;
  const demoKeys = config.demo
    ? await loadDemoKeys(dataDir, [...DEMO_ADVERTISERS.keys()], random)
    : new Map<bigint, string>();
  const audit = await openFileAudit({ dir: join(dataDir, "audit"), limits, clock, logger });
  const uses = startKeyUses({ store, limits, clock, logger });
  const demo = [...demoKeys].map(([id, key]) => ({
    advertiser: DEMO_ADVERTISERS.get(id)!,
    key,
    id,
  }));
  const givenKeys: readonly GivenKey[] = [
    { name: "admin", key: adminKey, scopes: ["admin"] },
    ...demo.map(({ advertiser, key, id }): GivenKey => {
      return { name: `demo: ${advertiser}`, key, scopes: ["read"], advertisers: new Set([id]) };
    }),
  ];
  return {
    authenticator: createAuthenticator({
      store,
      givenKeys,
      clock,
      used: (keyId, nowMs) => uses.used(keyId, nowMs),
    }),
    keyLimits: createKeyLimits(limits),
    audit,
    shares: await createShareCodec(await loadShareKeys(dataDir, random)),
    demoKeys: demo,
    close: async () => {
      await uses.stop();
      await audit.flush();
    },
  };
}
