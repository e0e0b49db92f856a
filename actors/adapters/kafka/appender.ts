/**
 * Appends: what waits for a partition's log, and the produce requests under way.
 *
 *  Q1 One append of a partition is under way at a time. A broker keeps the order of one connection,
 *     but a connection that broke in between may hand it two appends in either order.
 *  Q2 One request a broker is under way, and the next takes what has gathered for all partitions
 *     that it leads (up to REQUEST_MAX_BYTES): a broker answers a connection's requests one by
 *     one, so that requests of one partition each would wait for one another's replicas.
 *  Q3 What waits is bounded by limits.logQueueMaxBytes; past it an append is OVERLOADED.
 *  Q4 Each append has one deadline. Before it is sent: LOG_UNAVAILABLE, and it never will be.
 *     After: APPEND_UNKNOWN.
 *  Q5 Nothing is sent twice: what failed is the caller's to repeat, for only the caller can look
 *     whether the log has it. kafkajs' idempotent producer is not used: after a timeout it has
 *     been seen to lose an acknowledged batch.
 */
import { AdtallyError } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Brokers } from "./brokers.ts";
import { encodeProduce, type Batch, type Codec } from "./produce-request.ts";
import {
  describeCode,
  describeError,
  isLeaderStale,
  isRefusedBeforeWriting,
  NO_ERROR,
} from "./protocol-errors.ts";

const REQUEST_MAX_BYTES = 8 * 1024 * 1024;
/** A batch's length beside its records, roughly; and what a record with a key adds. */
const RECORD_OVERHEAD_BYTES = 192;
const KEYED_OVERHEAD_BYTES = 16;
/** The actor gives up on an append at appendDeadlineMs: it should hear before that what we know. */
const DEADLINE_SHARE = 0.9;
/** How much of an append's deadline the broker may spend waiting for replicas. */
const BROKER_SHARE = 0.6;

export interface AppenderDeps {
  readonly brokers: Brokers;
  readonly limits: Pick<Limits, "appendDeadlineMs" | "logQueueMaxBytes" | "overloadRetryAfterMs">;
  readonly clock: Clock;
  readonly codec: Codec;
}

interface Waiting {
  readonly topic: string;
  readonly partition: number;
  readonly key: string;
  readonly batch: Batch;
  readonly bytes: number;
  readonly resolve: (offset: number) => void;
  readonly reject: (error: AdtallyError) => void;
  timer: Timer | undefined;
  isSent: boolean;
  isSettled: boolean;
}

export class Appender {
  readonly #deps: AppenderDeps;
  readonly #queues = new Map<string, Waiting[]>();
  /** Partitions and brokers with something under way (Q1, Q2). */
  readonly #busyKeys = new Set<string>();
  readonly #busyNodes = new Set<number>();
  #bytes = 0;
  #isPumping = false;
  #isClosed = false;

  constructor(deps: AppenderDeps) {
    this.#deps = deps;
  }

  /** Resolves with the offset of the batch's first record. */
  append(topic: string, partition: number, batch: Batch): Promise<number> {
    const { limits, clock } = this.#deps;
    if (this.#isClosed) return Promise.reject(unavailable(topic, partition, "the click log is closed"));
    const bytes = batch.records.reduce(sizeOf, RECORD_OVERHEAD_BYTES);
    if (this.#bytes + bytes > limits.logQueueMaxBytes) {
      const full = `click log: ${this.#bytes} bytes wait for the brokers, of ${limits.logQueueMaxBytes} allowed; try again later`;
      const { overloadRetryAfterMs: retryAfterMs } = limits;
      return Promise.reject(new AdtallyError("OVERLOADED", full, { retryAfterMs }));
    }
    return new Promise((resolve, reject) => {
      const key = `${topic} ${partition}`;
      const fields = { topic, partition, key, batch, bytes, resolve, reject };
      const waiting: Waiting = { ...fields, timer: undefined, isSent: false, isSettled: false };
      waiting.timer = clock.after(limits.appendDeadlineMs * DEADLINE_SHARE, () =>
        this.#fail(waiting, `no answer within ${limits.appendDeadlineMs * DEADLINE_SHARE} ms`),
      );
      const queue = this.#queues.get(key);
      if (queue === undefined) this.#queues.set(key, [waiting]);
      else queue.push(waiting);
      this.#bytes += bytes;
      this.#schedule();
    });
  }

  /** Refuses all that was not sent, and all that comes. */
  close(): void {
    this.#isClosed = true;
    for (const queue of [...this.#queues.values()]) {
      for (const waiting of [...queue]) if (!waiting.isSent) this.#fail(waiting, "the click log was closed");
    }
  }

  /** Appends made in the same turn of the event loop gather first. */
  #schedule(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    void Promise.resolve().then(() => this.#pump());
  }

  async #pump(): Promise<void> {
    const { brokers } = this.#deps;
    try {
      if (!brokers.isFresh) await brokers.freshen();
    } catch (error) {
      // Nobody knows where to send: the callers hear at once, so that a gateway can spill.
      for (const waiting of this.#heads()) this.#fail(waiting, describeError(error));
      this.#isPumping = false;
      if (this.#heads().length > 0) this.#schedule();
      return;
    }
    this.#isPumping = false;
    const requests = new Map<number, Waiting[]>();
    const sizes = new Map<number, number>();
    for (const waiting of this.#heads()) {
      const leader = brokers.leaderOf(waiting.topic, waiting.partition);
      if (leader === undefined) {
        brokers.markStale();
        this.#fail(waiting, "the partition has no leader, or does not exist");
        continue;
      }
      const size = sizes.get(leader) ?? 0;
      if (this.#busyNodes.has(leader) || (size > 0 && size + waiting.bytes > REQUEST_MAX_BYTES)) continue;
      sizes.set(leader, size + waiting.bytes);
      const request = requests.get(leader);
      if (request === undefined) requests.set(leader, [waiting]);
      else request.push(waiting);
    }
    for (const [node, request] of requests) void this.#send(node, request);
  }

  /** The first of each partition that has none under way. */
  #heads(): Waiting[] {
    const heads: Waiting[] = [];
    for (const [key, queue] of this.#queues) if (!this.#busyKeys.has(key)) heads.push(queue[0]!);
    return heads;
  }

  async #send(node: number, taken: readonly Waiting[]): Promise<void> {
    const { brokers, limits, codec } = this.#deps;
    this.#busyNodes.add(node);
    for (const { key } of taken) this.#busyKeys.add(key);
    let sent: readonly Waiting[] = [];
    try {
      await brokers.openForProduce(node);
      sent = taken.filter(({ isSettled }) => !isSettled);
      for (const waiting of sent) waiting.isSent = true;
      if (sent.length > 0) {
        const timeoutMs = Math.round(limits.appendDeadlineMs * BROKER_SHARE);
        const body = await encodeProduce(sent, timeoutMs, codec);
        const response = await brokers.produce(node, body, limits.appendDeadlineMs * DEADLINE_SHARE);
        for (const { topicName, partitions } of response.topics) {
          for (const { partition, errorCode, baseOffset } of partitions) {
            const waiting = sent.find((each) => each.topic === topicName && each.partition === partition);
            if (waiting !== undefined) this.#answered(waiting, errorCode, Number(baseOffset));
          }
        }
        for (const waiting of sent) this.#fail(waiting, "the broker's answer does not name it");
      }
    } catch (error) {
      for (const waiting of taken) this.#fail(waiting, describeError(error));
    } finally {
      this.#busyNodes.delete(node);
      for (const { key } of taken) this.#busyKeys.delete(key);
      if (this.#queues.size > 0) this.#schedule();
    }
  }

  #answered(waiting: Waiting, errorCode: number, offset: number): void {
    if (errorCode === NO_ERROR) {
      if (this.#settle(waiting)) waiting.resolve(offset);
      return;
    }
    if (isLeaderStale(errorCode)) this.#deps.brokers.markStale();
    if (isRefusedBeforeWriting(errorCode)) waiting.isSent = false;
    this.#fail(waiting, describeCode(errorCode));
  }

  /** Q4. Does nothing to what has been answered. */
  #fail(waiting: Waiting, why: string): void {
    if (!this.#settle(waiting)) return;
    const { topic, partition, isSent, reject } = waiting;
    if (!isSent) return reject(unavailable(topic, partition, why));
    const message = `${topic}, partition ${partition}: this append may or may not be in the log (${why})`;
    reject(new AdtallyError("APPEND_UNKNOWN", message));
  }

  #settle(waiting: Waiting): boolean {
    if (waiting.isSettled) return false;
    waiting.isSettled = true;
    waiting.timer?.cancel();
    this.#bytes -= waiting.bytes;
    const queue = this.#queues.get(waiting.key) ?? [];
    queue.splice(queue.indexOf(waiting), 1);
    if (queue.length === 0) this.#queues.delete(waiting.key);
    return true;
  }
}

function sizeOf(sum: number, { key, value }: Batch["records"][number]): number {
  return sum + value.length + (key === undefined ? 0 : key.length + KEYED_OVERHEAD_BYTES);
}

function unavailable(topic: string, partition: number, why: string): AdtallyError {
  return new AdtallyError("LOG_UNAVAILABLE", `${topic}, partition ${partition}: not appended (${why})`);
}
