/**
 * PlacementService (proto/adtally/v1/placement.proto) as a function of decoded messages: the
 * gRPC and the HTTP form are thin shells around it. Who may call is settled before.
 */
import { AdtallyError } from "../core/errors.ts";
import { idKeyOf } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import type { Catalogue } from "../ports/catalogue.ts";
import type { Advertisers } from "../ports/key-store.ts";
import type { Clock } from "../runtime/clock.ts";
import { nextTurn } from "../runtime/turn.ts";
import { issueImpressions, type IssueDeps, type IssuedImpression } from "./issue.ts";

export interface IssueImpressionsRequest {
  readonly adId: bigint;
  /** 1 to limits.impressionsMaxCount; 0 means 1. */
  readonly count: number;
  /** Whose ads the caller may know of: an ad of others is answered as one that does not exist. */
  readonly advertisers: Advertisers;
}

export interface IssueImpressionsResponse {
  readonly impressions: readonly IssuedImpression[];
}

export interface PlacementService {
  /** @throws INPUT_INVALID, NOT_FOUND, CATALOGUE_UNAVAILABLE, ROUTING_TABLE_STALE */
  issueImpressions(request: IssueImpressionsRequest): Promise<IssueImpressionsResponse>;
}

export interface PlacementDeps extends IssueDeps {
  readonly catalogue: Catalogue;
  readonly clock: Clock;
  readonly limits: IssueDeps["limits"] & Pick<Limits, "impressionsMaxCount">;
}

/** Signed at one go; a call for more gives way in between, so that clicks do not wait for it. */
const TURN_IMPRESSIONS = 500;

export function createPlacementService(deps: PlacementDeps): PlacementService {
  const { catalogue, clock, limits } = deps;
  return {
    async issueImpressions({ adId, count: asked, advertisers }) {
      if (!Number.isInteger(asked) || asked < 0 || asked > limits.impressionsMaxCount) {
        throw new AdtallyError(
          "INPUT_INVALID",
          `count must be from 1 to ${limits.impressionsMaxCount}, and is ${asked}`,
        );
      }
      const key = idKeyOf(adId);
      const known = catalogue.peek(key) ?? (await catalogue.load([key])).get(key);
      if (known === undefined || (advertisers !== "all" && !advertisers.has(known.advertiserId))) {
        throw new AdtallyError(
          "NOT_FOUND",
          `ad ${adId} is not in the catalogue: create it with POST /v1/ads`,
        );
      }
      const impressions: IssuedImpression[] = [];
      for (let left = asked || 1; left > 0; left -= TURN_IMPRESSIONS) {
        if (impressions.length > 0) await nextTurn();
        const nowMs = clock.now();
        impressions.push(...issueImpressions(deps, adId, Math.min(left, TURN_IMPRESSIONS), nowMs, nowMs));
      }
      return { impressions };
    },
  };
}
