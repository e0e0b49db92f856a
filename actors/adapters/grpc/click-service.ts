/**
 * ClickService: takes clicks over gRPC. Built by server.ts; each call's clicks go through one
 * BatchIntake. A token needs no key; a click id needs a key of scope "submit".
 *
 *  K1 At most `streamWindowBatches` batches of one stream are under way. Past it the stream is
 *     not read, and HTTP/2's flow control stops the client. A batch is under way until its
 *     result has left, so that a client that does not read its results is stopped as well.
 *  K2 At most `grpcInFlightMaxBytes` of messages are under way in all; past it a message is
 *     refused as OVERLOADED before its clicks are judged.
 *  K3 A refused batch does not end its stream; malformed bytes do, once every batch before them
 *     has been answered.
 *  K4 A drained stream reads nothing more, answers what it took, and ends with UNAVAILABLE.
 *  K5 A stream's key is asked for again every `keyRecheckMs` in which batches come: one that was
 *     revoked or has expired ends its stream.
 */
import { AdtallyError, isAdtallyError } from "../../core/errors.ts";
import { permits } from "../../keys/api-key.ts";
import { callerOf, noteRefusal, type Callers } from "./auth.ts";
import {
  decodeClickBatch,
  decodeSubmitClick,
  decodeSubmitClicks,
  encodeBatchRefusal,
  encodeBatchResult,
  encodeSubmitClickResponse,
  encodeSubmitClicksResponse,
} from "./click-codec.ts";
import { batchRefusalOf, isDefect, statusOf } from "./status.ts";
import type { Metadata, ServerDuplexStream, ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import type { Limits } from "../../core/limits.ts";
import type { BatchIntake, BatchOutcomes, BatchSource } from "../../intake/batch.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { GrpcService } from "./server.ts";

export interface ClickServiceDeps extends Callers {
  readonly batches: BatchIntake;
  readonly clock: Pick<Clock, "now">;
  readonly limits: Limits;
  readonly logger: Logger;
}

type Unary = (call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) => void;
type ClickStream = ServerDuplexStream<Buffer, Buffer>;

export function createClickService(deps: ClickServiceDeps): GrpcService {
  const { batches, authenticate, keyLimits, audit, clock, limits, logger } = deps;
  const policy = { overloadRetryAfterMs: limits.overloadRetryAfterMs };
  const streams = new Set<{ finish(error?: AdtallyError): void }>();
  let inFlightBytes = 0;

  /** The id of the key by which click ids are believed; undefined without one, where tokens alone are. */
  function trustOf(metadata: Metadata, method: string): string | undefined {
    try {
      const caller = callerOf(metadata, authenticate);
      return caller !== undefined && permits(caller, "submit") ? caller.keyId : undefined;
    } catch (error) {
      noteRefusal(audit, undefined, `/adtally.v1.ClickService/${method}`, error);
      throw error;
    }
  }

  /** @throws RATE_LIMITED; callers without a key are not counted. */
  async function spend(keyId: string | undefined): Promise<void> {
    if (keyId !== undefined) await keyLimits?.take(keyId, "submit");
  }

  /** Runs `work` while `bytes` count against K2. */
  async function admitted<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    if (inFlightBytes + bytes > limits.grpcInFlightMaxBytes) {
      throw new AdtallyError("OVERLOADED", "this gateway has as many clicks under way as it can hold");
    }
    inFlightBytes += bytes;
    try {
      return await work();
    } finally {
      inFlightBytes -= bytes;
    }
  }

  function take(source: BatchSource, trusted: boolean): Promise<BatchOutcomes> {
    return batches.take(source, clock.now(), trusted);
  }

  function tooMany(count: number): string {
    return `${count} clicks in one batch; send at most ${limits.batchMaxClicks}`;
  }

  function unary(
    method: string,
    decode: (bytes: Buffer) => BatchSource,
    encode: (outcomes: BatchOutcomes) => Buffer,
  ): Unary {
    return (call, reply) => {
      const bytes = call.request;
      const answer = async () => {
        const keyId = trustOf(call.metadata, method);
        await spend(keyId);
        const source = decode(bytes);
        if (source.count > limits.batchMaxClicks)
          throw new AdtallyError("INPUT_INVALID", tooMany(source.count));
        return take(source, keyId !== undefined);
      };
      admitted(bytes.length, answer).then(
        (outcomes) => reply(null, encode(outcomes)),
        (error: unknown) => {
          if (isDefect(error)) logger.error({ error }, "a call for clicks failed");
          reply(statusOf(error, policy));
        },
      );
    };
  }

  /** The result of one batch, or its refusal. @throws INPUT_INVALID where the bytes are no ClickBatch */
  async function answerBatch(bytes: Buffer, keyId: string | undefined): Promise<Buffer> {
    const batch = decodeClickBatch(bytes);
    if (batch.count > limits.batchMaxClicks) {
      return encodeBatchRefusal(batch.batchId, {
        code: "TOO_MANY_CLICKS",
        detail: tooMany(batch.count),
        retryAfterMs: 0,
      });
    }
    try {
      await spend(keyId);
      const taken = await admitted(bytes.length, () => take(batch, keyId !== undefined));
      return encodeBatchResult(batch.batchId, taken);
    } catch (error) {
      if (isAdtallyError(error, "INPUT_INVALID")) throw error;
      if (isDefect(error)) logger.error({ error }, "a batch of clicks failed");
      return encodeBatchRefusal(batch.batchId, batchRefusalOf(error, policy));
    }
  }

  function streamClicks(call: ClickStream): void {
    let keyId: string | undefined;
    let askedAtMs = clock.now();
    try {
      keyId = trustOf(call.metadata, "StreamClicks");
      if (streams.size >= limits.grpcMaxClickStreams) {
        throw new AdtallyError(
          "OVERLOADED",
          `${streams.size} streams of clicks are open here: as many as may be`,
        );
      }
    } catch (error) {
      call.emit("error", statusOf(error, policy));
      return;
    }

    let underWay = 0;
    let finishing = false;
    let failure: unknown;
    const stream = {
      /** Reads nothing more and ends the stream once what it took is answered. */
      finish(error?: unknown): void {
        if (!finishing) failure = error;
        finishing = true;
        call.pause();
        if (underWay > 0) return;
        streams.delete(stream);
        if (failure === undefined) call.end();
        else call.emit("error", statusOf(failure, policy));
      },
    };
    const settled = (): void => {
      underWay -= 1;
      if (finishing) stream.finish();
      else if (underWay < limits.streamWindowBatches) call.resume();
    };
    streams.add(stream);
    call.on("cancelled", () => streams.delete(stream));
    call.on("end", () => stream.finish());
    call.on("data", (bytes: Buffer) => {
      if (finishing) return;
      const nowMs = clock.now();
      if (keyId !== undefined && Math.abs(nowMs - askedAtMs) >= limits.keyRecheckMs) {
        try {
          keyId = trustOf(call.metadata, "StreamClicks");
          askedAtMs = nowMs;
        } catch (error) {
          stream.finish(error);
          return;
        }
      }
      underWay += 1;
      if (underWay >= limits.streamWindowBatches) call.pause();
      answerBatch(bytes, keyId).then(
        (result) => call.write(result, settled),
        (error: unknown) => {
          underWay -= 1;
          stream.finish(error);
        },
      );
    });
  }

  return {
    name: "ClickService",
    raw: true,
    handlers: {
      SubmitClick: unary("SubmitClick", decodeSubmitClick, encodeSubmitClickResponse),
      SubmitClicks: unary("SubmitClicks", decodeSubmitClicks, encodeSubmitClicksResponse),
      StreamClicks: streamClicks,
    },
    /** Ends every open stream as K4 says. */
    drain() {
      for (const stream of [...streams]) {
        stream.finish(new AdtallyError("ABORTED", "this gateway is draining: open the stream again"));
      }
    },
  };
}
