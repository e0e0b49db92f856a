/**
 * GET /click?i=TOKEN: counts the click and sends the user on. Called by click-server.ts for each
 * request to /click, and for no other.
 *
 *  C1 A Location is the destination that the catalogue registered for the token's ad, or there
 *     is none. Nothing of the request gets into an answer.
 *  C2 A redirect of a click that counts is sent only once its row is durable: in the click log, or
 *     in the spill or the spool from which its shard will take it. One that nothing can keep (the
 *     spool full, its disk broken) is redirected all the same, with a header that says so: the
 *     user is not at fault, and a click that is not counted bills nobody.
 *  C3 Whatever the request says, the answer is below 500. 503 is for what is ours: no room, no
 *     answer from the catalogue, a routing generation that is not here yet, or a click that
 *     neither its shard nor the spill could take.
 *  C4 HEAD and prefetches are answered as a GET would be, and never handed on.
 */
import { AdtallyError, isAdtallyError } from "../../core/errors.ts";
import { Reason, reasonName, Verdict } from "../../core/verdict.ts";
import { AD_MISSING, HANDED_ON, outcomeReason, outcomeVerdict } from "../../intake/intake.ts";
import { createRawClick } from "../../intake/raw-click.ts";
import { withDeadline } from "../../runtime/deadline.ts";
import { TOKEN_BYTES } from "../../token/token.ts";
import { ClickBatcher } from "./click-batcher.ts";
import { isPrefetch, tokenTextOf } from "./click-request.ts";
import { isRedirectable, NOT_KEPT, PAGES, redirect, sendPage } from "./click-response.ts";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { IdKey } from "../../core/ids.ts";
import type { Limits } from "../../core/limits.ts";
import type { Intake } from "../../intake/intake.ts";
import type { Ad, Catalogue } from "../../ports/catalogue.ts";
import type { ShardPort } from "../../ports/shard-port.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { TokenCodec } from "../../token/token.ts";
import type { ClientAddress } from "./client-address.ts";

export interface ClickHandlerDeps {
  readonly intake: Intake<Ad>;
  readonly codec: TokenCodec;
  readonly catalogue: Catalogue;
  readonly shardPort: ShardPort;
  readonly clientAddress: ClientAddress;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly logger: Logger;
}

export type ClickHandler = (request: IncomingMessage, response: ServerResponse) => void;

const IP_AT = TOKEN_BYTES;
const USER_AGENT_AT = IP_AT + 16;

export function createClickHandler(deps: ClickHandlerDeps): ClickHandler {
  const { intake, codec, catalogue, clientAddress, clock, limits, logger } = deps;
  const batcher = new ClickBatcher(deps.shardPort, clock, limits);
  // One byte more than is kept tells the intake whether a character is torn at the cut.
  const agentRoom = limits.userAgentMaxBytes + 1;
  const bytes = Buffer.alloc(USER_AGENT_AT + agentRoom);
  const click = createRawClick();
  click.overHttp = true;
  click.bytes = bytes;
  click.tokenLength = TOKEN_BYTES;
  click.ipAt = IP_AT;
  click.userAgentAt = USER_AGENT_AT;

  /** Fills the one raw click; false when the text is no token. */
  function read(request: IncomingMessage, tokenText: string): boolean {
    if (codec.decodeText(tokenText, bytes) !== Reason.NONE) return false;
    const address = clientAddress(request);
    bytes.set(address, IP_AT);
    click.ipLength = address.length;
    // Node gives a header's bytes as Latin-1: written so, they are the bytes that were sent.
    click.userAgentLength = bytes.write(
      request.headers["user-agent"] ?? "",
      USER_AGENT_AT,
      agentRoom,
      "latin1",
    );
    return true;
  }

  function unavailable(response: ServerResponse, error: unknown): void {
    if (!isAdtallyError(error) || error.after === "halt")
      logger.error({ error }, "a click could not be taken");
    const hintMs = (isAdtallyError(error) ? error.retryAfterMs : undefined) ?? limits.overloadRetryAfterMs;
    sendPage(response, PAGES.busy, ["Retry-After", String(Math.max(1, Math.ceil(hintMs / 1_000)))]);
  }

  function loadThenTake(request: IncomingMessage, response: ServerResponse, tokenText: string): void {
    const key = intake.adKey();
    withDeadline(clock, limits.catalogueDeadlineMs, "the catalogue", catalogue.load([key])).then(
      (loaded) => take(request, response, tokenText, loaded),
      (error: unknown) => unavailable(response, error),
    );
  }

  function take(
    request: IncomingMessage,
    response: ServerResponse,
    tokenText: string,
    loaded: ReadonlyMap<IdKey, Ad> | undefined,
  ): void {
    const counts = request.method === "GET" && !isPrefetch(request.headers);
    if (counts && batcher.isFull) {
      unavailable(response, new AdtallyError("OVERLOADED", "as many clicks wait for their shards as may"));
      return;
    }
    if (!read(request, tokenText)) {
      sendPage(response, PAGES.damaged);
      return;
    }
    const gather = counts ? batcher.gather : undefined;
    const taking = { receivedAtMs: clock.now(), trusted: false, gather, loaded };
    const outcome = intake.take(click, taking, batcher.nextIndex);
    if (outcome === AD_MISSING) loadThenTake(request, response, tokenText);
    else if (outcome === HANDED_ON) answerHandedOn(response, intake.ad()!, counts);
    else answerRefused(response, outcome);
  }

  function answerHandedOn(response: ServerResponse, ad: Ad, counts: boolean): void {
    const go = (extra?: readonly string[]): void => {
      if (isRedirectable(ad.destinationUrl)) redirect(response, ad.destinationUrl, extra);
      else sendPage(response, PAGES.unknownAd);
    };
    const failed = (error: unknown): void => {
      if (isAdtallyError(error, "NOT_KEPT")) go(NOT_KEPT);
      else unavailable(response, error);
    };
    if (counts) batcher.add({ decided: go, failed });
    else go();
  }

  function answerRefused(response: ServerResponse, outcome: number): void {
    const verdict = outcomeVerdict(outcome);
    const ad = intake.ad();
    if (verdict === Verdict.UNKNOWN_AD) sendPage(response, PAGES.unknownAd);
    else if (verdict === Verdict.BAD_SIGNATURE || ad === undefined) sendPage(response, PAGES.damaged);
    else if (outcomeReason(outcome) === Reason.GENERATION_UNKNOWN) {
      unavailable(
        response,
        new AdtallyError("ROUTING_TABLE_STALE", "the token's generation is not here yet"),
      );
    } else {
      // Either a token of ours says that it comes from the future, or our clock is known to be off:
      // it cannot be counted in any window, and the user can do nothing about it.
      // The latter is every click's, and said once, by who found it out.
      const reason = outcomeReason(outcome);
      if (reason !== Reason.GATEWAY_CLOCK_OFF) {
        const why = reasonName(reason);
        logger.warn({ adId: String(ad.adId), why }, "a click was not counted: a clock of ours is wrong");
      }
      answerHandedOn(response, ad, false);
    }
  }

  return (request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      sendPage(response, PAGES.method, ["Allow", "GET, HEAD"]);
      return;
    }
    const tokenText = tokenTextOf(request.url ?? "");
    if (tokenText === undefined) sendPage(response, PAGES.damaged);
    else take(request, response, tokenText, undefined);
  };
}
