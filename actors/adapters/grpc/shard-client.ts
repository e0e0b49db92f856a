/**
 * ShardPort over gRPC: the gateway's end of one bidirectional stream to one actor host.
 *
 *        ┌──────────── submit ───────────┐
 *        ▼                               │
 *   no stream ──► streaming ──► broken (in flight: ABORTED) ──► no stream, after a back-off
 *
 *  Q1 Each submission has a deadline; an answer that comes after it is dropped.
 *  Q2 When the stream breaks, all that is in flight fails with ABORTED at once, so that the
 *     caller can send it again. During the back-off submissions fail with ABORTED too.
 *  Q3 At most `mailboxMaxClicks` clicks are in flight to one host; past it: OVERLOADED.
 */
import { Client, credentials } from "@grpc/grpc-js";
import { AdtallyError, messageOf } from "../../core/errors.ts";
import { rawServiceOf } from "./protos.ts";
import { decodeShardResult, encodeSubmission } from "./shard-codec.ts";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { PackageDefinition } from "@grpc/proto-loader";
import type { ErrorCode } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { ShardPort, Submission, SubmissionResult } from "../../ports/shard-port.ts";
import type { Clock, RandomBytes, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { Refusal } from "./click-codec.ts";

export interface ShardClientDeps {
  /** host:port of the actor host. */
  readonly address: string;
  readonly protos: PackageDefinition;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: Logger;
}

export interface ShardClient extends ShardPort {
  close(): void;
}

interface InFlight {
  readonly count: number;
  readonly timer: Timer;
  resolve(result: SubmissionResult): void;
  reject(error: Error): void;
}

type Stream = ClientDuplexStream<Buffer, Buffer>;

/** Codes of ShardRefusal, as ShardPort names them; any other leaves the outcome open. */
const REFUSALS = new Set<string>([
  "OVERLOADED",
  "NOT_OWNER",
  "SHARD_HALTED",
  "DEADLINE_EXCEEDED",
  "INPUT_INVALID",
]);

export function createShardClient(deps: ShardClientDeps): ShardClient {
  const { address, limits, clock, random, logger } = deps;
  const method = rawServiceOf(deps.protos, "ShardService")["Submit"]!;
  const client = new Client(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": limits.grpcMessageMaxBytes,
    "grpc.keepalive_time_ms": limits.grpcKeepaliveTimeMs,
    "grpc.keepalive_timeout_ms": limits.grpcKeepaliveTimeoutMs,
    "grpc.initial_reconnect_backoff_ms": limits.reconnectMinMs,
    "grpc.max_reconnect_backoff_ms": limits.reconnectMaxMs,
  });
  const inFlight = new Map<number, InFlight>();
  let stream: Stream | undefined;
  let clicksInFlight = 0;
  let lastRequestId = 0;
  let failures = 0;
  let openAgainAtMs = -Infinity;
  let closed = false;

  /** Takes one submission out of flight; undefined when its deadline has already done so. */
  function land(requestId: number): InFlight | undefined {
    const landed = inFlight.get(requestId);
    if (landed === undefined) return undefined;
    inFlight.delete(requestId);
    clicksInFlight -= landed.count;
    landed.timer.cancel();
    return landed;
  }

  function receive(bytes: Buffer): void {
    const result = decodeShardResult(bytes);
    failures = 0;
    const landed = land(result.requestId);
    if (landed === undefined) return;
    if (result.refusal !== undefined) landed.reject(errorOf(result.refusal));
    else if (result.outcomes.length === 2 * landed.count) landed.resolve(result);
    else landed.reject(new AdtallyError("ABORTED", `${address} answered for other rows than it was given`));
  }

  function broken(which: Stream, why: string): void {
    if (stream !== which) return;
    stream = undefined;
    failures += 1;
    const longest = Math.min(limits.reconnectMaxMs, limits.reconnectMinMs * 2 ** (failures - 1));
    // Between half and all of it, so that many gateways do not come back at one instant.
    const backOffMs = longest * (0.5 + random(1)[0]! / 512);
    openAgainAtMs = clock.monotonic() + backOffMs;
    logger.warn({ address, why, backOffMs, submissions: inFlight.size }, "the stream to an actor host broke");
    const error = new AdtallyError("ABORTED", `the stream to ${address} broke: ${why}`, {
      retryAfterMs: Math.ceil(backOffMs),
    });
    for (const requestId of [...inFlight.keys()]) land(requestId)?.reject(error);
  }

  function openStream(): Stream {
    const { path, requestSerialize, responseDeserialize } = method;
    const opened: Stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    opened.on("data", (bytes: Buffer) => {
      try {
        receive(bytes);
      } catch (error) {
        opened.cancel();
        broken(opened, messageOf(error));
      }
    });
    opened.on("error", (error: Error) => broken(opened, error.message));
    opened.on("end", () => broken(opened, "the host ended it"));
    return opened;
  }

  function refusalBefore(submission: Submission): AdtallyError | undefined {
    if (closed) return new AdtallyError("ABORTED", `the client of ${address} is closed`);
    if (clicksInFlight + submission.count > limits.mailboxMaxClicks) {
      const hint = { retryAfterMs: limits.overloadRetryAfterMs };
      return new AdtallyError("OVERLOADED", `${clicksInFlight} clicks are in flight to ${address}`, hint);
    }
    const waitMs = stream === undefined ? openAgainAtMs - clock.monotonic() : 0;
    if (waitMs <= 0) return undefined;
    return new AdtallyError("ABORTED", `${address} is out of reach`, { retryAfterMs: Math.ceil(waitMs) });
  }

  return {
    submit(submission) {
      const refusal = refusalBefore(submission);
      if (refusal !== undefined) return Promise.reject(refusal);
      stream ??= openStream();
      const requestId = ++lastRequestId;
      return new Promise((resolve, reject) => {
        const timer = clock.after(limits.submitDeadlineMs, () => {
          const late = `shard ${submission.shard} at ${address} did not answer within ${limits.submitDeadlineMs} ms`;
          land(requestId)?.reject(new AdtallyError("DEADLINE_EXCEEDED", late));
        });
        inFlight.set(requestId, { count: submission.count, timer, resolve, reject });
        clicksInFlight += submission.count;
        stream!.write(encodeSubmission(requestId, submission));
      });
    },
    close() {
      closed = true;
      const open = stream;
      if (open !== undefined) {
        open.cancel();
        broken(open, "the client was closed");
      }
      client.close();
    },
  };
}

function errorOf({ code, detail, retryAfterMs }: Refusal): AdtallyError {
  const known = REFUSALS.has(code) ? (code as ErrorCode) : "ABORTED";
  return new AdtallyError(known, detail, retryAfterMs > 0 ? { retryAfterMs } : {});
}
