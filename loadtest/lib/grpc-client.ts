/**
 * Clicks as SDKs send them. The stream carries batches in hand-made bytes, many under way at
 * once; SubmitClick and SubmitClicks go through proto-loader, so that both ways are used.
 */
import {
  Client,
  credentials,
  Metadata,
  type ChannelCredentials,
  type ClientDuplexStream,
} from "@grpc/grpc-js";
import {
  decodeClickBatchResult,
  encodeClick,
  encodeClickBatch,
  type ClickBatchResult,
  type ClickMessage,
} from "../../actors/adapters/grpc/click-client.ts";
import { loadProtos, rawServiceOf, serviceOf } from "../../actors/adapters/grpc/protos.ts";
import { Verdict } from "../../actors/core/verdict.ts";

const UNARY_DEADLINE_MS = 20_000;
const RECONNECT_MOST_MS = 500;
const KEEPALIVE_MS = 10_000;

export type { ClickMessage };
export { encodeClick, encodeClickBatch };

/** No verdict came: the clicks may or may not have been taken. */
export class Unanswered extends Error {}

interface Waiting {
  readonly resolve: (result: ClickBatchResult) => void;
  readonly reject: (error: Error) => void;
}

const options = {
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.min_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": RECONNECT_MOST_MS,
  "grpc.max_send_message_length": 8 * 1024 * 1024,
  // A host that is gone without a word closes no connection: its streams would wait for a quarter of an hour.
  "grpc.keepalive_time_ms": KEEPALIVE_MS,
  "grpc.keepalive_timeout_ms": KEEPALIVE_MS / 2,
};

/** One StreamClicks call, opened again by the next batch when it has broken. */
export class ClickStream {
  readonly #client: Client;
  readonly #metadata: Metadata;
  readonly #path: string;
  readonly #waiting = new Map<number, Waiting>();
  #call: ClientDuplexStream<Buffer, Buffer> | undefined;
  #nextBatch = 1;

  constructor(client: Client, metadata: Metadata) {
    this.#client = client;
    this.#metadata = metadata;
    this.#path = rawServiceOf(loadProtos(), "ClickService")["StreamClicks"]!.path;
  }

  get underWay(): number {
    return this.#waiting.size;
  }

  /** @throws Unanswered when the stream breaks first */
  send(clicks: readonly Uint8Array[]): Promise<ClickBatchResult> {
    const batchId = this.#nextBatch++;
    return this.sendEncoded(batchId, encodeClickBatch(batchId, clicks));
  }

  /** A ClickBatch whose bytes hold `batchId`. */
  sendEncoded(batchId: number, bytes: Buffer): Promise<ClickBatchResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(batchId, { resolve, reject });
      this.#open().write(bytes);
    });
  }

  end(): void {
    this.#call?.end();
  }

  #open(): ClientDuplexStream<Buffer, Buffer> {
    if (this.#call !== undefined) return this.#call;
    const same = (bytes: Buffer) => bytes;
    const call = this.#client.makeBidiStreamRequest(this.#path, same, same, this.#metadata);
    this.#call = call;
    const broken = (error: Error) => {
      if (this.#call !== call) return;
      this.#call = undefined;
      const left = [...this.#waiting.values()];
      this.#waiting.clear();
      for (const { reject } of left) reject(new Unanswered(error.message));
    };
    call.on("data", (bytes: Buffer) => {
      const result = decodeClickBatchResult(bytes);
      const waiting = this.#waiting.get(result.batchId);
      this.#waiting.delete(result.batchId);
      waiting?.resolve(result);
    });
    call.on("error", broken);
    call.on("end", () => broken(new Error("the stream ended")));
    return call;
  }
}

export interface GrpcClicks {
  openStream(): ClickStream;
  /** @throws Unanswered, or an Error when the call was refused whole */
  submitClick(click: ClickMessage): Promise<number>;
  /** The same, with the place in its shard's log where the answer names one. */
  submitClickPlaced(
    click: ClickMessage,
  ): Promise<{ readonly verdict: number; readonly offset: number | undefined }>;
  submitClicks(clicks: readonly ClickMessage[]): Promise<readonly number[]>;
  close(): void;
}

function toMessage(click: ClickMessage): object {
  return {
    token: click.token,
    clickId: click.clickId,
    adId: click.adId === undefined ? undefined : String(click.adId),
    clickedAtMs: click.clickedAtMs === undefined ? undefined : String(click.clickedAtMs),
    ip: click.ip,
    userAgent: click.userAgent,
  };
}

const codes = new Map(Object.entries(Verdict).map(([name, code]) => [`VERDICT_${name}`, code]));

export function createGrpcClicks(
  address: string,
  key: string | undefined,
  secured: ChannelCredentials = credentials.createInsecure(),
): GrpcClicks {
  const client = new Client(address, secured, options);
  const metadata = new Metadata();
  if (key !== undefined) metadata.set("authorization", `Bearer ${key}`);
  const service = serviceOf(loadProtos(), "ClickService");
  const call = (method: string, request: object): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      const { path, requestSerialize, responseDeserialize } = service[method]!;
      const until = { deadline: Date.now() + UNARY_DEADLINE_MS };
      const decode = responseDeserialize as (bytes: Buffer) => Record<string, unknown>;
      client.makeUnaryRequest(path, requestSerialize, decode, request, metadata, until, (error, response) => {
        if (error === null && response !== undefined) resolve(response);
        else reject(new Unanswered(`${error?.code} ${error?.details}`));
      });
    });
  async function submitClickPlaced(click: ClickMessage) {
    const { verdict, offset } = await call("SubmitClick", { click: toMessage(click) });
    const place = offset === undefined || offset === null ? undefined : Number(offset);
    return { verdict: codes.get(String(verdict)) ?? -1, offset: place };
  }
  return {
    openStream: () => new ClickStream(client, metadata),
    submitClick: async (click) => (await submitClickPlaced(click)).verdict,
    submitClickPlaced,
    async submitClicks(clicks) {
      const { verdicts } = await call("SubmitClicks", { clicks: clicks.map(toMessage) });
      return (verdicts as unknown[]).map((verdict) => codes.get(String(verdict)) ?? -1);
    },
    close: () => client.close(),
  };
}
