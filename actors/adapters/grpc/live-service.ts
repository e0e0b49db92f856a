/** LiveService over gRPC: a client of the live feed for each call (actors/live/feed.ts). */
import type { ServerWritableStream } from "@grpc/grpc-js";
import { AdtallyError } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { EndCode, LiveAd, LiveEvent } from "../../live/event.ts";
import type { LiveFeed, RenderedEvent } from "../../live/feed.ts";
import { createViews, liveAccessOf } from "../../live/view.ts";
import type { Metadata } from "@grpc/grpc-js";
import type { Logger } from "../../runtime/log.ts";
import type { GrpcService } from "./server.ts";
import { isDefect, statusOf } from "./status.ts";

export interface LiveServiceDeps {
  readonly feed: LiveFeed;
  /** What the caller may see. @throws UNAUTHENTICATED, PERMISSION_DENIED */
  readonly authorise: (metadata: Metadata) => Promise<{ readonly advertisers: "all" | ReadonlySet<bigint> }>;
  readonly limits: Pick<Limits, "liveHistoryMs" | "overloadRetryAfterMs">;
  readonly logger: Logger;
}

/** As proto-loader decodes it. */
interface Request {
  readonly resumeToken: string;
  readonly recentSeconds: number;
  readonly advertiserId: string;
  readonly campaignId: string;
  readonly adId: string;
}

const ENDS: Readonly<Record<EndCode, "ABORTED" | "OVERLOADED" | "PERMISSION_DENIED">> = {
  DRAINING: "ABORTED",
  SLOW_CLIENT: "OVERLOADED",
  ACCESS_ENDED: "PERMISSION_DENIED",
};

export function createLiveService({ feed, authorise, limits, logger }: LiveServiceDeps): GrpcService {
  const viewOf = createViews();

  async function watch(call: ServerWritableStream<Request, object>): Promise<void> {
    const fail = (error: unknown) => void call.emit("error", statusOf(error, limits));
    const { advertiserId, campaignId, adId, recentSeconds, resumeToken } = call.request;
    const mostSeconds = limits.liveHistoryMs / 1_000;
    if (recentSeconds > mostSeconds)
      throw new AdtallyError("INPUT_INVALID", `recent_seconds must be ${mostSeconds} at the most`);
    const filter = {
      ...(advertiserId !== "0" && { advertiserId: BigInt(advertiserId) }),
      ...(campaignId !== "0" && { campaignId: BigInt(campaignId) }),
      ...(adId !== "0" && { adId: BigInt(adId) }),
    };
    const view = viewOf(liveAccessOf((await authorise(call.metadata)).advertisers), filter);
    const watching = feed.watch(
      { view, recentSeconds, resume: resumeToken },
      {
        send: (event) => call.write((event.wire ??= responseOf(event)) as object),
        end: (code, detail) => fail(new AdtallyError(ENDS[code], detail)),
        reauthorise: () => authorise(call.metadata),
      },
    );
    call.on("drain", () => watching.ready());
    for (const name of ["cancelled", "close", "error"]) call.on(name, () => watching.close());
  }

  return {
    name: "LiveService",
    handlers: {
      WatchClicks(call: ServerWritableStream<Request, object>): void {
        watch(call).catch((error: unknown) => {
          if (isDefect(error)) logger.error({ error }, "a live stream failed");
          call.emit("error", statusOf(error, limits));
        });
      },
    },
    drain: () => feed.close(),
  };
}

const adOf = ({ ad_id, campaign_id, advertiser_id, clicks }: LiveAd) => ({
  adId: ad_id,
  campaignId: campaign_id,
  advertiserId: advertiser_id,
  clicks,
});

function spanOf(event: LiveEvent): object {
  const rest = { ads: event.ads.map(adOf), otherClicks: event.other_clicks };
  if (event.kind === "second") {
    const { clicks_per_second: clicksPerSecond, over } = event;
    return { second: { startMs: Date.parse(event.second), clicksPerSecond, over, ...rest } };
  }
  const [startMs, endMs] = [Date.parse(event.minute), Date.parse(event.until)];
  return { minute: { startMs, endMs, clicks: event.clicks, ...rest } };
}

const responseOf = ({ id, event }: RenderedEvent): object => ({ resumeToken: id, ...spanOf(event) });
