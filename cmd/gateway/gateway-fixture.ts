/** A gateway on real sockets over shards in memory, for this folder's tests. */
import { createDirectShardPort } from "../../actors/adapters/direct/direct-shard-port.ts";
import { createMemoryCatalogue } from "../../actors/adapters/memory/memory-catalogue.ts";
import { MemoryShard } from "../../actors/adapters/memory/memory-shard.ts";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { createPlacementService } from "../../actors/placement/service.ts";
import { createKeyLimits } from "../../actors/adapters/rate-limit/key-limits.ts";
import { addGeneration, emptyTable } from "../../actors/routing/table.ts";
import { systemClock, systemRandom } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { createTokenCodec } from "../../actors/token/token.ts";
import { issueImpressions } from "../../actors/placement/issue.ts";
import { createGateway } from "./gateway.ts";
import type { Certificates } from "../../actors/adapters/tls/certificates.ts";
import type { ServerFiles } from "../../actors/adapters/tls/material.ts";
import type { IdKey } from "../../actors/core/ids.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { Principal, Scope } from "../../actors/ports/key-store.ts";
import type { IssuedImpression } from "../../actors/placement/issue.ts";
import type { Ad, Catalogue } from "../../actors/ports/catalogue.ts";

const SHARDS = 4;
export const DESTINATION = "https://shop.example/offer?id=7&from=ad";
/** An ad that is in storage and not in memory until it is asked for. */
export const COLD_AD = 2002n;
/** An ad whose destination no catalogue would register. */
export const EVIL_AD = 6666n;
export const UNKNOWN_AD = 404n;

export interface GatewayUnderTest {
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly shards: ReadonlyMap<number, MemoryShard>;
  /** An impression of the ad, `ageMs` old. */
  impression(adId?: bigint, ageMs?: number): IssuedImpression;
  /** Signs what placement would not. */
  sign(generation: number, adId: bigint, impressionId: Uint8Array): string;
  accepted(): number;
  rowCount(): number;
  each(change: (shard: MemoryShard) => void): void;
  failCatalogue(): void;
  /** As a key's removal, wherever it was made. */
  revoke(key: string): void;
  /** As the watch of the clock would. */
  tellClockOff(isOff: boolean): void;
  drain(): Promise<void>;
}

export async function openGateway(
  changed: Partial<Limits> = {},
  trustedProxies: readonly string[] = [],
  certificates?: Certificates<ServerFiles>,
): Promise<GatewayUnderTest> {
  const limits: Limits = { ...DEFAULT_LIMITS, drainDeadlineMs: 1_000, ...changed };
  const clock = systemClock;
  const shards = new Map(
    Array.from({ length: SHARDS }, (_, n) => [n, new MemoryShard(clock, limits.mailboxMaxClicks)]),
  );
  const table = addGeneration(emptyTable(clock.now()), { shardCount: SHARDS }, clock.now(), limits);
  const codec = await createTokenCodec({ signingKeyId: 3, keys: new Map([[3, systemRandom(32)]]) });
  const principals = new Map(PRINCIPALS);
  let catalogueFails = false;
  let isClockOff = false;
  const catalogue = await openCatalogue(() => catalogueFails);
  const issue = {
    codec,
    table: () => table,
    random: systemRandom,
    limits,
    publicUrl: () => "http://localhost",
  };
  const shardPort = createDirectShardPort({ shards, clock, limits });
  const gateway = createGateway({
    shardPort,
    httpShardPort: shardPort,
    catalogue,
    codec,
    routing: () => table,
    limits,
    clock,
    isClockOff: () => isClockOff,
    authenticate: (bearer) => principals.get(bearer ?? ""),
    keyLimits: createKeyLimits(limits),
    placement: createPlacementService({ ...issue, catalogue, clock }),
    httpHandler: (_request, response) => response.writeHead(404).end("other"),
    trustedProxies,
    certificates,
    logger: silentLogger,
  });
  const bound = await gateway.listen({ host: "127.0.0.1", httpPort: 0, grpcPort: 0 });
  const each = [...shards.values()];
  return {
    httpPort: bound.httpPort,
    grpcPort: bound.grpcPort,
    shards,
    impression: (adId = 1001n, ageMs = 0) =>
      issueImpressions(
        { ...issue, limits: { ...limits, tokenLifeMs: 2 ** 40 } },
        adId,
        1,
        clock.now() - ageMs,
        clock.now(),
      )[0]!,
    sign: (generation, adId, impressionId) => codec.encodeText(codec.sign(generation, adId, impressionId)),
    accepted: () => each.reduce((sum, shard) => sum + shard.accepted(), 0),
    rowCount: () => each.reduce((sum, shard) => sum + shard.rows.length, 0),
    each: (change) => each.forEach(change),
    failCatalogue: () => (catalogueFails = true),
    revoke: (key) => void principals.delete(key),
    tellClockOff: (isOff) => (isClockOff = isOff),
    drain: () => gateway.drain(),
  };
}

const principal = (keyId: string, scopes: readonly Scope[]): Principal => ({
  keyId,
  name: keyId,
  scopes,
  advertisers: "all",
});
const PRINCIPALS = new Map([
  ["admin-key", principal("a", ["admin"])],
  ["submit-key", principal("s", ["submit"])],
  ["placement-key", principal("p", ["placement"])],
]);

async function openCatalogue(fails: () => boolean): Promise<Catalogue> {
  const stored = createMemoryCatalogue();
  const ad = (adId: bigint, destinationUrl = DESTINATION): Ad => {
    return { adId, campaignId: adId + 1n, advertiserId: adId + 2n, destinationUrl, title: "an ad" };
  };
  await stored.put([ad(1001n), ad(COLD_AD), ad(EVIL_AD, "https://ok.example/\r\nSet-Cookie: a=b")]);
  const inMemory = new Set<IdKey>([1001, Number(EVIL_AD)]);
  return {
    ...stored,
    peek: (key) => (inMemory.has(key) ? stored.peek(key) : undefined),
    load(keys) {
      if (fails()) return new Promise(() => undefined);
      for (const key of keys) inMemory.add(key);
      return stored.load(keys);
    },
  };
}
