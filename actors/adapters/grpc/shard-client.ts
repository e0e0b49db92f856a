/**
 * ShardPort over gRPC: the gateway's end of one bidirectional stream to one actor host.
 *
 *   opening ──host's metadata──► open ──► broken (in flight: ABORTED) ──back-off──► opening
 *      └───────────── no metadata within `shardConnectDeadlineMs` ──► broken
 *
 *  Q1 Each submission has a deadline; an answer that comes after it is dropped.
 *  Q2 When the stream breaks, all that is in flight fails with ABORTED at once, so that the
 *     caller can send it again. During the back-off submissions fail with ABORTED too.
 *  Q3 At most `mailboxMaxClicks` clicks are in flight to one host; past it: OVERLOADED.
 *  Q4 The stream is opened at once and again after each break, traffic or not: `isReachable` is
 *     what the host last said itself, and keepalive finds a connection that went silent.
 *  Q5 Every opening has a connection of its own: none waits for the back-off, or the half-open
 *     socket, of the one before, and each shows the certificate that is current then.
 *  Q6 `clockLeadMs` is what the opening told of the two clocks, to within the time that it took;
 *     a later step of our own clock shows in it at once, one of the host's at the next opening.
 *  Q7 What is submitted in one turn of the event loop leaves as one message: each costs both ends
 *     tens of microseconds, and with 64 shards a batch of 1,000 clicks has 64 parts.
 */
import { Client, credentials } from "@grpc/grpc-js";
import { AdtallyError, messageOf } from "../../core/errors.ts";
import { rawServiceOf } from "./protos.ts";
import { decodeShardResult, encodeSubmissions, scatter } from "./shard-codec.ts";
import { HOST_CLOCK_KEY } from "./wire.ts";
import type { ChannelCredentials, ClientDuplexStream } from "@grpc/grpc-js";
import type { PackageDefinition } from "@grpc/proto-loader";
import type { ErrorCode } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { ShardPort, Submission, SubmissionResult } from "../../ports/shard-port.ts";
import type { Clock, RandomBytes, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { Refusal } from "./click-codec.ts";
import type { NumberedSubmission } from "./shard-codec.ts";

export interface ShardClientDeps {
  /** host:port of the actor host. */
  readonly address: string;
  readonly protos: PackageDefinition;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: Logger;
  /** Of TLS (adapters/tls/grpc.ts); without: plain text. */
  readonly credentials?: ChannelCredentials;
}

export interface ShardClient extends ShardPort {
  /** `withinMs`: the caller's own deadline, where it is nearer than `submitDeadlineMs`. */
  submit(submission: Submission, withinMs?: number): Promise<SubmissionResult>;
  readonly isReachable: boolean;
  readonly clicksInFlight: number;
  /** How far our clock is ahead of the host's at the least; negative: behind. Undefined: not told yet. */
  readonly clockLeadMs: number | undefined;
  /** Takes no more, and closes once all that is in flight has been answered or is too late. */
  closeWhenIdle(): void;
  close(): void;
}

/** No message grows beyond this by gathering; a single submission may. */
const GATHERED_MAX_BYTES = 1024 * 1024;

interface InFlight {
  readonly count: number;
  readonly timer: Timer;
  resolve(result: SubmissionResult): void;
  reject(error: Error): void;
}

interface Link {
  readonly client: Client;
  readonly stream: ClientDuplexStream<Buffer, Buffer>;
  readonly opening: Timer;
}

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
  const channelCredentials = deps.credentials ?? credentials.createInsecure();
  const inFlight = new Map<number, InFlight>();
  let link: Link | undefined;
  /** Submitted in this turn, and not yet on the stream (Q7). */
  let gathered: NumberedSubmission[] = [];
  let gatheredBytes = 0;
  let isLeaving = false;
  let isReachable = false;
  /** The host's wall clock less our monotonic one: between these two. */
  let hostClock: { readonly least: number; readonly most: number } | undefined;
  let clicksInFlight = 0;
  let lastRequestId = 0;
  let failures = 0;
  let openAgain: Timer | undefined;
  let openAgainAtMs = -Infinity;
  let state: "serving" | "closing" | "closed" = "serving";

  /** Takes one submission out of flight; undefined when its deadline has already done so. */
  function land(requestId: number): InFlight | undefined {
    const landed = inFlight.get(requestId);
    if (landed === undefined) return undefined;
    inFlight.delete(requestId);
    clicksInFlight -= landed.count;
    landed.timer.cancel();
    if (state === "closing" && inFlight.size === 0) close();
    return landed;
  }

  function flush(): void {
    if (gathered.length > 0) link?.stream.write(encodeSubmissions(gathered));
    gathered = [];
    gatheredBytes = 0;
  }

  /** Q7 */
  function send(item: NumberedSubmission): void {
    const bytes = item.submission.rows.length;
    if (gatheredBytes + bytes > GATHERED_MAX_BYTES) flush();
    gathered.push(item);
    gatheredBytes += bytes;
    if (isLeaving) return;
    isLeaving = true;
    setImmediate(() => {
      isLeaving = false;
      flush();
    });
  }

  function receive(bytes: Buffer): void {
    failures = 0;
    for (const message of scatter(bytes)) receiveOne(message);
  }

  function receiveOne(bytes: Buffer): void {
    const result = decodeShardResult(bytes);
    const landed = land(result.requestId);
    if (landed === undefined) return;
    if (result.refusal !== undefined) landed.reject(errorOf(result.refusal));
    else if (result.outcomes.length === 2 * landed.count) landed.resolve(result);
    else landed.reject(new AdtallyError("ABORTED", `${address} answered for other rows than it was given`));
  }

  function drop(which: Link): void {
    which.opening.cancel();
    which.stream.cancel();
    which.client.close();
    // Those in it fail with all that is in flight.
    gathered = [];
    gatheredBytes = 0;
    link = undefined;
    isReachable = false;
  }

  function failAll(error: AdtallyError): void {
    for (const requestId of [...inFlight.keys()]) land(requestId)?.reject(error);
  }

  function broken(which: Link, why: string): void {
    if (link !== which) return;
    const wasReachable = isReachable;
    drop(which);
    failures += 1;
    const longest = Math.min(limits.reconnectMaxMs, limits.reconnectMinMs * 2 ** (failures - 1));
    // Between half and all of it, so that many gateways do not come back at one instant.
    const backOffMs = longest * (0.5 + random(1)[0]! / 512);
    openAgainAtMs = clock.monotonic() + backOffMs;
    const fields = { address, why, backOffMs, failures, submissions: inFlight.size };
    if (wasReachable || failures === 1) logger.warn(fields, "the stream to an actor host broke");
    else logger.debug(fields, "the actor host is still out of reach");
    if (state === "serving") openAgain = clock.after(backOffMs, open);
    const hint = { retryAfterMs: Math.ceil(backOffMs) };
    failAll(new AdtallyError("ABORTED", `the stream to ${address} broke: ${why}`, hint));
  }

  function open(): void {
    const client = new Client(address, channelCredentials, {
      "grpc.max_receive_message_length": limits.grpcMessageMaxBytes,
      "grpc.keepalive_time_ms": limits.shardKeepaliveTimeMs,
      "grpc.keepalive_timeout_ms": limits.shardKeepaliveTimeoutMs,
      "grpc.use_local_subchannel_pool": 1,
      // What broke is sent again by who knows its deadline (shard-router.ts); grpc-js keeps no copies.
      "grpc.enable_retries": 0,
      // A proxy of the environment is for the world outside, never between our own programs.
      "grpc.enable_http_proxy": 0,
      // Names the peer for TLS; an address with an IP in it would be no lawful server name.
      ...(deps.credentials !== undefined ? { "grpc.ssl_target_name_override": "actor" } : {}),
    });
    const { path, requestSerialize, responseDeserialize } = method;
    const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    const beganAtMs = clock.monotonic();
    const late = `it did not open within ${limits.shardConnectDeadlineMs} ms`;
    const opening = clock.after(limits.shardConnectDeadlineMs, () => broken(opened, late));
    const opened: Link = { client, stream, opening };
    link = opened;
    stream.on("metadata", (metadata) => {
      opening.cancel();
      if (link !== opened) return;
      const hostNowMs = Number(metadata.get(HOST_CLOCK_KEY)[0] ?? Number.NaN);
      if (Number.isFinite(hostNowMs))
        hostClock = { least: hostNowMs - clock.monotonic(), most: hostNowMs - beganAtMs };
      isReachable = true;
      if (failures > 0) logger.info({ address, failures }, "the actor host is within reach again");
    });
    stream.on("data", (bytes: Buffer) => {
      try {
        receive(bytes);
      } catch (error) {
        broken(opened, messageOf(error));
      }
    });
    stream.on("error", (error: Error) => broken(opened, error.message));
    stream.on("end", () => broken(opened, "the host ended it"));
  }

  function refusalBefore(submission: Submission): AdtallyError | undefined {
    if (state !== "serving") return new AdtallyError("ABORTED", `the client of ${address} is closed`);
    if (clicksInFlight + submission.count > limits.mailboxMaxClicks) {
      const hint = { retryAfterMs: limits.overloadRetryAfterMs };
      return new AdtallyError("OVERLOADED", `${clicksInFlight} clicks are in flight to ${address}`, hint);
    }
    if (link !== undefined) return undefined;
    const waitMs = Math.max(1, Math.ceil(openAgainAtMs - clock.monotonic()));
    return new AdtallyError("ABORTED", `${address} is out of reach`, { retryAfterMs: waitMs });
  }

  function close(): void {
    state = "closed";
    openAgain?.cancel();
    if (link !== undefined) drop(link);
    failAll(new AdtallyError("ABORTED", `the client of ${address} was closed`));
  }

  open();

  return {
    submit(submission, withinMs = limits.submitDeadlineMs) {
      const refusal = refusalBefore(submission);
      if (refusal !== undefined) return Promise.reject(refusal);
      const deadlineMs = Math.min(withinMs, limits.submitDeadlineMs);
      const requestId = ++lastRequestId;
      return new Promise((resolve, reject) => {
        const timer = clock.after(deadlineMs, () => {
          const late = `shard ${submission.shard} at ${address} did not answer within ${Math.ceil(deadlineMs)} ms`;
          land(requestId)?.reject(new AdtallyError("DEADLINE_EXCEEDED", late));
        });
        inFlight.set(requestId, { count: submission.count, timer, resolve, reject });
        clicksInFlight += submission.count;
        send({ requestId, submission });
      });
    },
    get isReachable() {
      return isReachable;
    },
    get clicksInFlight() {
      return clicksInFlight;
    },
    get clockLeadMs() {
      if (hostClock === undefined) return undefined;
      const ourClock = clock.now() - clock.monotonic();
      return Math.max(0, ourClock - hostClock.most) + Math.min(0, ourClock - hostClock.least);
    },
    closeWhenIdle() {
      if (state !== "serving") return;
      state = "closing";
      openAgain?.cancel();
      if (inFlight.size === 0) close();
    },
    close,
  };
}

function errorOf({ code, detail, retryAfterMs }: Refusal): AdtallyError {
  const known = REFUSALS.has(code) ? (code as ErrorCode) : "ABORTED";
  return new AdtallyError(known, detail, retryAfterMs > 0 ? { retryAfterMs } : {});
}
