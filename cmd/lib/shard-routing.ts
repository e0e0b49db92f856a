/** The way from a program to all shards: a router that follows the published assignment. */
import { loadProtos } from "../../actors/adapters/grpc/protos.ts";
import { createShardClient } from "../../actors/adapters/grpc/shard-client.ts";
import { createShardRouterMetrics } from "../../actors/adapters/grpc/shard-router-metrics.ts";
import { createShardRouter, type ShardRouter } from "../../actors/adapters/grpc/shard-router.ts";
import type { Certificates } from "../../actors/adapters/tls/certificates.ts";
import { grpcClientCredentials } from "../../actors/adapters/tls/grpc.ts";
import type { Assignment } from "../../actors/assignment/assignment.ts";
import { messageOf } from "../../actors/core/errors.ts";
import type { SharedState } from "../../actors/ports/shared-state.ts";
import type { LocalCopy } from "../../actors/replica/local-copy.ts";
import { followAssignment } from "./followers.ts";
import type { Program } from "./program.ts";

export interface ShardRouting {
  readonly router: ShardRouter;
  /** The newest seen; version 0 before the first. */
  readonly assignment: Assignment;
  /** Resolves once there is an assignment, if only a copy of one. @throws SHARED_STATE_UNAVAILABLE */
  begin(): Promise<void>;
}

/** Drained when the program stops: what it holds then is answered first. */
export function openShardRouting(
  program: Program<unknown>,
  state: SharedState,
  tls: Certificates | undefined,
  copy?: LocalCopy,
): ShardRouting {
  const { clock, life, limits, logger, metrics, random } = program;
  const protos = loadProtos();
  const secured = tls && { credentials: grpcClientCredentials(tls, ["actor"]) };
  const routerMetrics = createShardRouterMetrics(metrics);
  const router = createShardRouter({
    connect: (address) => createShardClient({ address, protos, limits, clock, random, logger, ...secured }),
    refresh: () =>
      void following.refresh().catch((error: unknown) => {
        logger.warn({ error: messageOf(error) }, "the assignment could not be read again");
      }),
    limits,
    clock,
    random,
    logger,
    onRetry: routerMetrics.onRetry,
  });
  const following = followAssignment(
    { state, logger, ...(copy && { copy }) },
    (assignment) => void router.setAssignment(assignment),
  );
  routerMetrics.observe(router);
  life.onStop("the way to the shards", async () => {
    following.close();
    await router.drain();
  });
  return {
    router,
    get assignment() {
      return following.assignment;
    },
    begin: () => following.begin(),
  };
}
