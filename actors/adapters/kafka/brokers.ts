/**
 * The brokers of one cluster, as kafka-log.ts needs them: who leads a partition, and requests to
 * that leader. Stands on the inner Cluster of kafkajs, for its outer Producer and Consumer cannot
 * keep what ClickLog promises:
 *
 *  - a Consumer reads by a group alone: a rebalance stalls every shard of the process, and an
 *    offset gone by retention is reset without a word, where L5 of click-log.ts wants OFFSET_OUT_OF_RANGE;
 *  - a Producer that fails to send refreshes its metadata, and throws that failure in place of the
 *    first: “connection refused” then says nothing of whether the record was sent (L3 of click-log.ts);
 *  - it answers a request for several partitions with the first one's error alone.
 *
 * Also designed around here:
 *
 *  N1 Nothing is sent again by kafkajs (`retries: 0`): who retries must know that it does.
 *  N2 A half-open connection is never noticed by kafkajs, each request on it waits for its own
 *     timeout. A request that misses its deadline breaks the connection.
 *  N3 kafkajs listens for `end` and `error` of a socket, not for `close`: a socket is destroyed
 *     with an error, or its requests would wait for ever.
 *  N4 kafkajs leaves Nagle's algorithm on: two small requests in a row wait for a delayed ACK.
 *  N5 All that ask for a connection or for metadata share one attempt, and after a failed one wait
 *     `reconnectMinMs`: no storm of connections against a broker that comes back.
 *  N6 Topics are never made by asking for them.
 */
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import kafkajs, { type ISocketFactory } from "kafkajs";
import Cluster, { type Broker } from "kafkajs/src/cluster/index.js";
import { createLogger } from "kafkajs/src/loggers/index.js";
import {
  requests,
  type FetchRequest,
  type ListOffsetsRequest,
  type RequestDefinition,
} from "kafkajs/src/protocol/requests/index.js";
import { AdtallyError, isAdtallyError, messageOf } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { Clock } from "../../runtime/clock.ts";
import { withDeadline } from "../../runtime/deadline.ts";
import type { Logger } from "../../runtime/log.ts";
import type { KafkaConfig } from "./config.ts";
import { describeError } from "./protocol-errors.ts";
import { repair } from "./repairs.ts";

const CONNECT_MS = 2_000;
const AUTHENTICATE_MS = 5_000;
const KEEP_ALIVE_MS = 30_000;

const PRODUCE = { key: 0, definition: requests.Produce, connection: 0, name: "produce" } as const;
const FETCH = { key: 1, definition: requests.Fetch, connection: 1, name: "fetch" } as const;
const LIST_OFFSETS = {
  key: 2,
  definition: requests.ListOffsets,
  connection: 0,
  name: "list offsets",
} as const;

/** Its version, key and answer count; the body is our own (produce-request.ts). */
const EMPTY_PRODUCE = { acks: -1, timeout: 0, compression: 0, topicData: [] } as const;

export interface BrokersDeps {
  readonly config: KafkaConfig;
  readonly topics: readonly string[];
  readonly limits: Pick<Limits, "appendDeadlineMs" | "reconnectMinMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Api<Request, Response> {
  readonly key: number;
  readonly definition: RequestDefinition<Request, Response>;
  readonly connection: 0 | 1;
  readonly name: string;
}

export class Brokers {
  readonly #deps: BrokersDeps;
  readonly #cluster: Cluster;
  readonly #sockets = new Map<string, Set<Socket>>();
  #leaders = new Map<string, Map<number, number>>();
  #isStale = true;
  #refreshing: Promise<void> | undefined;
  #failed: { readonly error: AdtallyError; readonly untilMs: number } | undefined;
  #isClosed = false;

  constructor(deps: BrokersDeps) {
    this.#deps = deps;
    const { config, topics, limits, logger } = deps;
    this.#cluster = new Cluster({
      logger: createLogger({
        level: kafkajs.logLevel.WARN,
        // What kafkajs takes for an error is retried by our callers, who log it as what it is.
        logCreator: () => (entry) => logger.debug({ kafkajs: entry.log }, entry.log.message),
      }),
      socketFactory: (place) => this.#openSocket(place),
      brokers: config.brokers,
      clientId: config.clientId,
      ...(config.tls !== undefined && { ssl: config.tls }),
      ...(config.sasl !== undefined && { sasl: config.sasl }),
      connectionTimeout: CONNECT_MS,
      authenticationTimeout: AUTHENTICATE_MS,
      // Behind our own deadlines, so that those decide (N2).
      requestTimeout: 2 * limits.appendDeadlineMs,
      enforceRequestTimeout: true,
      metadataMaxAge: Number.MAX_SAFE_INTEGER,
      retry: { retries: 0, initialRetryTime: limits.reconnectMinMs },
      allowAutoTopicCreation: false,
      maxInFlightRequests: null,
    });
    repair(this.#cluster);
    for (const topic of topics) this.#cluster.targetTopics.add(topic);
  }

  /** The broker that leads a partition, as far as is known; undefined where it has none. */
  leaderOf(topic: string, partition: number): number | undefined {
    return this.#leaders.get(topic)?.get(partition);
  }

  /** What is known of leaders no longer holds: the next `freshen` asks. */
  markStale(): void {
    this.#isStale = true;
  }

  /** Whether `freshen` has nothing to do. */
  get isFresh(): boolean {
    return !this.#isStale && this.#refreshing === undefined;
  }

  /** Asks who leads what, where that is not known. @throws LOG_UNAVAILABLE */
  async freshen(): Promise<void> {
    if (this.isFresh) return;
    const { clock, limits } = this.#deps;
    if (this.#failed !== undefined && clock.monotonic() < this.#failed.untilMs) throw this.#failed.error;
    this.#refreshing ??= this.#refresh()
      .then(
        () => (this.#failed = undefined),
        (cause: unknown) => {
          const error = this.#unavailable(`no broker answers (${describeError(cause)})`, cause);
          this.#failed = { error, untilMs: clock.monotonic() + limits.reconnectMinMs };
          throw error;
        },
      )
      .then(() => undefined)
      .finally(() => (this.#refreshing = undefined));
    await this.#refreshing;
  }

  /** Opens what `produce` needs. @throws LOG_UNAVAILABLE: nothing was sent */
  async openForProduce(node: number): Promise<void> {
    await this.#open(node, PRODUCE.connection, this.#deps.limits.appendDeadlineMs);
  }

  /** Rejects with anything: whether the request arrived is then unknown. */
  produce(node: number, body: Buffer, deadlineMs: number) {
    return this.#send(node, PRODUCE, EMPTY_PRODUCE, deadlineMs, body);
  }

  fetch(node: number, request: FetchRequest, deadlineMs: number) {
    return this.#send(node, FETCH, request, deadlineMs);
  }

  listOffsets(node: number, request: ListOffsetsRequest, deadlineMs: number) {
    return this.#send(node, LIST_OFFSETS, request, deadlineMs);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    // kafkajs waits for all that is under way: what still is has had its deadline.
    for (const address of this.#sockets.keys()) this.#breakConnections(address, "the click log was closed");
    await this.#cluster.disconnect();
  }

  async #refresh(): Promise<void> {
    // Whoever finds a leader gone while this is under way marks it stale once more.
    this.#isStale = false;
    try {
      const { clock, limits } = this.#deps;
      const work = this.#cluster.refreshMetadata();
      await withDeadline(clock, limits.appendDeadlineMs, "the metadata request", work);
    } catch (error) {
      this.#isStale = true;
      if (isAdtallyError(error, "DEADLINE_EXCEEDED")) this.#breakAll(error.message);
      throw error;
    }
    const leaders = new Map<string, Map<number, number>>();
    for (const { topic, partitionMetadata } of this.#cluster.brokerPool.metadata?.topicMetadata ?? []) {
      const known = partitionMetadata.filter(({ leader }) => leader >= 0);
      leaders.set(topic, new Map(known.map(({ partitionId, leader }) => [partitionId, leader])));
    }
    this.#leaders = leaders;
  }

  async #open(node: number, connection: 0 | 1, deadlineMs: number): Promise<Broker> {
    if (this.#isClosed) throw this.#unavailable("it is closed", undefined);
    try {
      const { clock } = this.#deps;
      const open = this.#cluster.findBroker({ nodeId: node }).then(async (broker) => {
        await broker.connectionPool.getConnection(connection);
        return broker;
      });
      return await withDeadline(clock, deadlineMs, `broker ${node}`, open);
    } catch (error) {
      this.markStale();
      throw this.#unavailable(`broker ${node} cannot be reached (${describeError(error)})`, error);
    }
  }

  async #send<Request, Response>(
    node: number,
    api: Api<Request, Response>,
    fields: Request,
    deadlineMs: number,
    body?: Buffer,
  ): Promise<Response> {
    const broker = await this.#open(node, api.connection, deadlineMs);
    const { host, port } = broker.connectionPool;
    try {
      const { request, response } = broker.lookupRequest(api.key, api.definition)(fields);
      // kafkajs' own `parse` throws the first partition's error, and drops what the others got.
      const asItIs = { decode: response.decode, parse: async (decoded: Response) => decoded };
      const encoded = body !== undefined && { encode: async () => ({ buf: body, buffer: body }) };
      const work = broker.connectionPool.send({ request: { ...request, ...encoded }, response: asItIs });
      return await withDeadline(this.#deps.clock, deadlineMs, `${api.name} at broker ${node}`, work);
    } catch (error) {
      this.markStale();
      if (isAdtallyError(error, "DEADLINE_EXCEEDED"))
        this.#breakConnections(`${host}:${port}`, error.message);
      throw error;
    }
  }

  /** N4, and the sockets by broker for N2. */
  #openSocket({ host, port, ssl, onConnect }: Parameters<ISocketFactory>[0]): Socket {
    const plain = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
    // Without a name to ask for, a server with several certificates presents any of them.
    const tls = this.#deps.config.tls === undefined ? undefined : ssl;
    const socket =
      tls === undefined
        ? connectTcp(plain, onConnect)
        : connectTls({ ...(isIP(host) === 0 && { servername: host }), ...tls, ...plain }, onConnect);
    const address = `${host}:${port}`;
    const sockets = this.#sockets.get(address) ?? new Set();
    this.#sockets.set(address, sockets.add(socket));
    socket.on("close", () => sockets.delete(socket));
    return socket;
  }

  /** N3 */
  #breakConnections(address: string, why: string): void {
    for (const socket of this.#sockets.get(address) ?? []) socket.destroy(new Error(why));
  }

  #breakAll(why: string): void {
    for (const address of this.#sockets.keys()) this.#breakConnections(address, why);
  }

  #unavailable(why: string, cause: unknown): AdtallyError {
    const at = this.#deps.config.brokers.join(", ");
    return new AdtallyError("LOG_UNAVAILABLE", `click log at ${at}: ${why || messageOf(cause)}`, { cause });
  }
}
