/** The whole API over parts in memory, for the tests of its routes. */
import { randomBytes } from "node:crypto";
import { createApi, type ApiDeps } from "../../actors/adapters/http/api.ts";
import { createMemoryCatalogue } from "../../actors/adapters/memory/memory-catalogue.ts";
import { createMemoryKeyStore } from "../../actors/adapters/memory/memory-key-store.ts";
import { DEFAULT_LIMITS, type Limits } from "../../actors/core/limits.ts";
import { createAuthenticator } from "../../actors/keys/authenticate.ts";
import { createPlacementService } from "../../actors/placement/service.ts";
import type { Catalogue } from "../../actors/ports/catalogue.ts";
import { addGeneration, emptyTable } from "../../actors/routing/table.ts";
import { systemClock, systemRandom } from "../../actors/runtime/clock.ts";
import { silentLogger } from "../../actors/runtime/log.ts";
import { createMetrics } from "../../actors/runtime/metrics.ts";
import { generateKeys } from "../../actors/token/keys.ts";
import { createTokenCodec } from "../../actors/token/token.ts";
import { adsRoutes } from "./ads-routes.ts";
import { impressionsRoutes } from "./impressions-routes.ts";

export const ADMIN = { authorization: "Bearer admin-key" };
export const PLACEMENT = { authorization: "Bearer placement-key" };

export interface FixtureOptions extends Partial<Pick<ApiDeps, "readiness" | "anonymousScopes" | "logger">> {
  readonly catalogue?: Catalogue;
  readonly limits?: Partial<Limits>;
}

export async function createTestApi(options: FixtureOptions = {}) {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const catalogue = options.catalogue ?? createMemoryCatalogue();
  const logger = options.logger ?? silentLogger;
  const { authenticate } = createAuthenticator({
    store: createMemoryKeyStore(),
    clock: systemClock,
    givenKeys: [
      { key: "admin-key", name: "admin", scopes: ["admin"] },
      { key: "placement-key", name: "ad server", scopes: ["placement"] },
    ],
  });
  const codec = await createTokenCodec(generateKeys(randomBytes));
  const table = addGeneration(emptyTable(systemClock.now()), { shardCount: 4 }, systemClock.now(), limits);
  const placement = createPlacementService({
    codec,
    catalogue,
    limits,
    clock: systemClock,
    random: systemRandom,
    table: () => table,
    publicUrl: () => "http://127.0.0.1:8080",
  });
  const { app, requireScope } = createApi({
    limits,
    logger,
    authenticate,
    metrics: createMetrics({ process: false }),
    readiness: options.readiness ?? (() => []),
    version: "0.0.0",
    ...(options.anonymousScopes === undefined ? {} : { anonymousScopes: options.anonymousScopes }),
  });
  app.register(adsRoutes({ catalogue, clock: systemClock, limits, logger, requireScope }));
  app.register(impressionsRoutes({ placement, limits, requireScope }));
  return { app, requireScope, catalogue, codec, placement };
}
