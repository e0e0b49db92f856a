/**
 * PlacementService over gRPC: a thin shell around actors/placement/service.ts. Served raw, and
 * decoded here: grpc-js tells a caller of malformed bytes that the fault was ours (INTERNAL).
 */
import { advertisersOf } from "../../keys/api-key.ts";
import { admit, type Callers } from "./auth.ts";
import { loadProtos, serviceOf } from "./protos.ts";
import { isDefect, statusOf } from "./status.ts";
import { malformed } from "./wire.ts";
import type {
  MethodDefinition,
  ServerUnaryCall,
  UntypedServiceImplementation,
  sendUnaryData,
} from "@grpc/grpc-js";
import type { Limits } from "../../core/limits.ts";
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

const METHOD = "/adtally.v1.PlacementService/IssueImpressions";

export interface PlacementHandlerDeps extends Callers {
  readonly placement: PlacementService;
  readonly limits: Pick<Limits, "overloadRetryAfterMs">;
  readonly logger: Logger;
}

export function createPlacementHandlers(deps: PlacementHandlerDeps): UntypedServiceImplementation {
  const { placement, limits, logger } = deps;
  const { requestDeserialize, responseSerialize } = serviceOf(loadProtos(), "PlacementService")[
    "IssueImpressions"
  ] as MethodDefinition<Request, Response>;

  function decode(bytes: Buffer): Request {
    try {
      return requestDeserialize(bytes);
    } catch (error) {
      throw malformed("IssueImpressionsRequest", error);
    }
  }

  async function issue({ metadata, request }: ServerUnaryCall<Buffer, Buffer>): Promise<Buffer> {
    const advertisers = advertisersOf(await admit(metadata, deps, "placement", METHOD));
    const { adId, count } = decode(request);
    return responseSerialize(await placement.issueImpressions({ adId: BigInt(adId), count, advertisers }));
  }

  return {
    IssueImpressions(call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>): void {
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
