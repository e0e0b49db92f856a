/**
 * Issues signed impressions. Placement's HTTP and gRPC forms call it through service.ts; it
 * takes its time and its randomness as arguments, so that a simulator and the demo page (which
 * shows what an expired token does) can issue at any time.
 *
 * Invariants
 *  U1 An impression id is a UUIDv7 whose timestamp is `atMs`: the token's age is judged by it.
 *  U2 The token is pinned to the generation in force at `atMs`; when the routing table cannot
 *     tell, nothing is issued.
 *  U3 No id is issued twice: 73 random bits beside the millisecond.
 */
import { v7 } from "uuid";
import { AdtallyError } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import { generationAt, type RoutingTable } from "../routing/table.ts";
import type { RandomBytes } from "../runtime/clock.ts";
import { expiresAtMs } from "../token/expiry.ts";
import type { TokenCodec } from "../token/token.ts";

export interface IssuedImpression {
  /** UUIDv7, 16 bytes. */
  readonly impressionId: Buffer;
  readonly token: Buffer;
  readonly tokenText: string;
  readonly clickUrl: string;
  /** The last millisecond at which a click still counts. */
  readonly expiresAtMs: number;
}

export interface IssueDeps {
  readonly codec: TokenCodec;
  readonly table: () => RoutingTable;
  readonly random: RandomBytes;
  readonly limits: Pick<
    Limits,
    "tokenLifeMs" | "routingLeadMs" | "routingLagMs" | "clockSkewMs" | "maxShards"
  >;
  /** Where gateways are reached from outside, without a slash at the end: known once they listen. */
  readonly publicUrl: () => string;
}

const UUID_BYTES = 16;

/** @throws ROUTING_TABLE_STALE (U2) */
export function issueImpressions(
  deps: IssueDeps,
  adId: bigint,
  count: number,
  atMs: number,
  nowMs: number,
): readonly IssuedImpression[] {
  const generation = generationAt(deps.table(), atMs, nowMs, deps.limits);
  if (typeof generation === "string") {
    throw new AdtallyError(
      "ROUTING_TABLE_STALE",
      generation === "NO_GENERATION"
        ? "placement: no routing generation is in force yet; it is published at the first start"
        : "placement: the routing table is too old to pin a token to it; try again, or elsewhere",
    );
  }
  const random = deps.random(count * UUID_BYTES);
  const publicUrl = deps.publicUrl();
  return Array.from({ length: count }, (_, n) => {
    const impressionId = Buffer.allocUnsafe(UUID_BYTES);
    v7({ msecs: atMs, random: random.subarray(n * UUID_BYTES, (n + 1) * UUID_BYTES) }, impressionId);
    const token = deps.codec.sign(generation.number, adId, impressionId);
    const tokenText = deps.codec.encodeText(token);
    return {
      impressionId,
      token,
      tokenText,
      clickUrl: `${publicUrl}/click?i=${tokenText}`,
      expiresAtMs: expiresAtMs(atMs, deps.limits),
    };
  });
}
