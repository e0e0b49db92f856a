/** PlacementService over gRPC: a thin shell around actors/placement/service.ts. */
import { assertScope } from "./auth.ts";
import { isDefect, statusOf } from "./status.ts";
import type { ServerUnaryCall, UntypedServiceImplementation, sendUnaryData } from "@grpc/grpc-js";
import type { Limits } from "../../core/limits.ts";
import type { Authenticate } from "../../keys/authenticate.ts";
import type { PlacementService } from "../../placement/service.ts";
import type { Logger } from "../../runtime/log.ts";

/** As proto-loader decodes it: 64-bit numbers are decimal strings. */
interface Request {
  readonly adId: string;
  readonly count: number;
}

interface Response {
  readonly impressions: readonly {
    readonly impressionId: Buffer;
    readonly token: Buffer;
    readonly clickUrl: string;
    readonly expiresAtMs: number;
  }[];
}

export interface PlacementHandlerDeps {
  readonly placement: PlacementService;
  readonly authenticate: Authenticate;
  readonly limits: Pick<Limits, "overloadRetryAfterMs">;
  readonly logger: Logger;
}

export function createPlacementHandlers(deps: PlacementHandlerDeps): UntypedServiceImplementation {
  const { placement, authenticate, limits, logger } = deps;

  async function issue(call: ServerUnaryCall<Request, Response>): Promise<Response> {
    assertScope(call.metadata, authenticate, "placement");
    return placement.issueImpressions({ adId: BigInt(call.request.adId), count: call.request.count });
  }

  return {
    IssueImpressions(call: ServerUnaryCall<Request, Response>, reply: sendUnaryData<Response>): void {
      issue(call).then(
        (response) => reply(null, response),
        (error: unknown) => {
          if (isDefect(error)) logger.error({ error }, "a call for impressions failed");
          reply(statusOf(error, limits));
        },
      );
    },
  };
}
