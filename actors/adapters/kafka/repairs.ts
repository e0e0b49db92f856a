/**
 * What is mended in kafkajs 2.2.4, each with what happens without it: K1 for all of this process,
 * the others on the objects that brokers.ts makes. repairs.test.ts fails when the version moves.
 *
 *  K1 After each answer the request queue sets a timer for a throttle that has long passed: a
 *     negative delay, which Node takes for 1 ms and warns of, and the timer's own check sets the
 *     next: each connection wakes up 1,000 times a second for ever.
 *  K2 Two requests that find a connection closed both open it: the first socket is overwritten,
 *     never closed, and its answers are read as the second's.
 *  K3 One partition without a leader fails the metadata of all: a client that has to find another
 *     partition's new leader does not, until the last partition has one.
 */
import type Cluster from "kafkajs/src/cluster/index.js";
import type { Broker, Connection, ConnectionPool, Metadata } from "kafkajs/src/cluster/index.js";
import RequestQueue from "kafkajs/src/network/requestQueue/index.js";
import { requests } from "kafkajs/src/protocol/requests/index.js";

const METADATA_KEY = 3;
const CHECK_PENDING_MS = 10;

export function repair(cluster: Cluster): void {
  const { connectionPoolBuilder: builder, brokerPool } = cluster;
  const build = builder.build.bind(builder);
  builder.build = async (destination) => {
    const pool: ConnectionPool = await build(destination);
    for (const connection of pool.pool) connectOnce(connection);
    return pool;
  };
  const createBroker = brokerPool.createBroker;
  brokerPool.createBroker = (options) => {
    const broker = createBroker(options);
    broker.metadata = (topics = []) => metadataOfAll(broker, topics);
    return broker;
  };
}

/** K1 */
RequestQueue.prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
  if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
  const delayMs = Math.max(this.throttledUntil - Date.now(), CHECK_PENDING_MS);
  this.throttleCheckTimeoutId = setTimeout(() => {
    this.throttleCheckTimeoutId = null;
    this.checkPendingRequests();
  }, delayMs);
};

/** K2 */
function connectOnce(connection: Connection): void {
  const connect = connection.connect.bind(connection);
  let connecting: Promise<unknown> | undefined;
  connection.connect = () => {
    connecting ??= connect().finally(() => (connecting = undefined));
    return connecting;
  };
}

/** K3 */
function metadataOfAll(broker: Broker, topics: readonly string[]): Promise<Metadata> {
  const { allowAutoTopicCreation } = broker;
  const { request, response } = broker.lookupRequest(
    METADATA_KEY,
    requests.Metadata,
  )({
    topics,
    allowAutoTopicCreation,
  });
  const asItIs = { decode: response.decode, parse: async (decoded: Metadata) => decoded };
  return broker.connectionPool.send({ request, response: asItIs });
}
