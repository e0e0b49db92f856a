/**
 * The inner parts of kafkajs 2.2.4 that brokers.ts stands on; the package types its outer ones
 * alone. They are what the outer ones are made of, and the version is pinned: kafkajs has had no
 * release since February 2023.
 */
declare module "kafkajs/src/cluster/index.js" {
  import type { ISocketFactory, SASLOptions } from "kafkajs";
  import type { ConnectionOptions } from "node:tls";
  import type { RootLogger } from "kafkajs/src/loggers/index.js";
  import type { RequestDefinition } from "kafkajs/src/protocol/requests/index.js";

  export interface ProtocolRequest<Response> {
    readonly request: object;
    readonly response: {
      readonly decode: (data: Buffer) => Promise<Response>;
      readonly parse: (decoded: Response) => Promise<Response>;
    };
  }

  export interface Connection {
    isConnected(): boolean;
    connect(): Promise<unknown>;
  }

  export interface ConnectionPool {
    readonly host: string;
    readonly port: number;
    /** 0 for all requests but fetches, 1 for those. */
    readonly pool: readonly Connection[];
    getConnection(index: 0 | 1): Promise<Connection>;
    send<Response>(request: ProtocolRequest<Response>): Promise<Response>;
  }

  export interface Broker {
    readonly connectionPool: ConnectionPool;
    readonly allowAutoTopicCreation: boolean;
    connect(): Promise<void>;
    lookupRequest<Request, Response>(
      apiKey: number,
      definition: RequestDefinition<Request, Response>,
    ): (fields: Request) => ProtocolRequest<Response>;
    metadata(topics?: readonly string[]): Promise<Metadata>;
  }

  export interface PartitionMetadata {
    readonly partitionErrorCode: number;
    readonly partitionId: number;
    readonly leader: number;
  }

  export interface TopicMetadata {
    readonly topicErrorCode: number;
    readonly topic: string;
    readonly partitionMetadata: readonly PartitionMetadata[];
  }

  export interface Metadata {
    readonly topicMetadata: readonly TopicMetadata[];
  }

  export interface BrokerPool {
    readonly metadata: Metadata | null;
    createBroker: (options: object) => Broker;
  }

  export interface ClusterOptions {
    readonly logger: RootLogger;
    readonly socketFactory: ISocketFactory;
    readonly brokers: readonly string[];
    readonly ssl?: ConnectionOptions;
    readonly sasl?: SASLOptions;
    readonly clientId: string;
    readonly connectionTimeout: number;
    readonly authenticationTimeout: number;
    readonly requestTimeout: number;
    readonly enforceRequestTimeout: boolean;
    readonly metadataMaxAge: number;
    readonly retry: { readonly retries: number; readonly initialRetryTime: number };
    readonly allowAutoTopicCreation: boolean;
    readonly maxInFlightRequests: null;
  }

  export default class Cluster {
    constructor(options: ClusterOptions);
    readonly brokerPool: BrokerPool;
    readonly connectionPoolBuilder: { build: (destination?: object) => Promise<ConnectionPool> };
    readonly targetTopics: Set<string>;
    refreshMetadata(): Promise<void>;
    findBroker(which: { readonly nodeId: number }): Promise<Broker>;
    disconnect(): Promise<void>;
  }
}

declare module "kafkajs/src/protocol/requests/index.js" {
  import type { Metadata } from "kafkajs/src/cluster/index.js";

  export interface RequestDefinition<Request, Response> {
    readonly versions: readonly string[];
    /** Never called by us: names the types that belong together. */
    readonly protocol: (version: { readonly version: number }) => (fields: Request) => Response;
  }

  export interface ProduceRequest {
    readonly acks: -1;
    readonly timeout: number;
    readonly compression: number;
    readonly topicData: readonly [];
  }

  export interface ProduceResponse {
    readonly topics: readonly {
      readonly topicName: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly errorCode: number;
        readonly baseOffset: string;
      }[];
    }[];
  }

  export interface FetchRequest {
    readonly replicaId: -1;
    readonly isolationLevel: 0;
    readonly maxWaitTime: number;
    readonly minBytes: number;
    readonly maxBytes: number;
    readonly topics: readonly {
      readonly topic: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly fetchOffset: string;
        readonly maxBytes: number;
      }[];
    }[];
  }

  export interface FetchedMessage {
    readonly offset: string;
    readonly key: Buffer | null;
    readonly value: Buffer | null;
    readonly headers: Readonly<Record<string, Buffer | readonly Buffer[] | null>>;
    readonly isControlRecord: boolean;
  }

  export interface FetchResponse {
    readonly responses: readonly {
      readonly topicName: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly errorCode: number;
        readonly highWatermark: string;
        readonly messages: readonly FetchedMessage[];
      }[];
    }[];
  }

  export interface ListOffsetsRequest {
    readonly replicaId: -1;
    readonly isolationLevel: 0;
    readonly topics: readonly {
      readonly topic: string;
      readonly partitions: readonly { readonly partition: number; readonly timestamp: string }[];
    }[];
  }

  export interface ListOffsetsResponse {
    readonly responses: readonly {
      readonly topic: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly errorCode: number;
        readonly offset: string;
      }[];
    }[];
  }

  export interface MetadataRequest {
    readonly topics: readonly string[];
    readonly allowAutoTopicCreation: boolean;
  }

  export const requests: {
    readonly Produce: RequestDefinition<ProduceRequest, ProduceResponse>;
    readonly Fetch: RequestDefinition<FetchRequest, FetchResponse>;
    readonly ListOffsets: RequestDefinition<ListOffsetsRequest, ListOffsetsResponse>;
    readonly Metadata: RequestDefinition<MetadataRequest, Metadata>;
  };
}

declare module "kafkajs/src/network/requestQueue/index.js" {
  export default class RequestQueue {
    readonly pending: readonly object[];
    readonly throttledUntil: number;
    throttleCheckTimeoutId: NodeJS.Timeout | null;
    checkPendingRequests(): void;
    scheduleCheckPendingRequests(): void;
  }
}

declare module "kafkajs/src/protocol/error.js" {
  export const errorCodes: readonly {
    readonly type: string;
    readonly code: number;
    readonly message: string;
  }[];
}

declare module "kafkajs/src/loggers/index.js" {
  import type { logCreator, logLevel } from "kafkajs";

  export interface RootLogger {
    namespace(name: string): RootLogger;
  }
  export function createLogger(options: {
    readonly level: logLevel;
    readonly logCreator: logCreator;
  }): RootLogger;
}
