/** A steady trickle of clicks on one shard by both protocols, with what became of each and when. */
import { randomBytes } from "node:crypto";
import { Verdict } from "../../actors/core/verdict.ts";
import type { GatewayMember } from "../../cmd/cluster/cluster.ts";
import { createGrpcClicks, encodeClick } from "../lib/grpc-client.ts";
import { createHttpClicks } from "../lib/http-clicks.ts";
import { ADMIN_KEY } from "../lib/program.ts";
import { tokenText, type Signer } from "../lib/tokens.ts";
import { sleep } from "../lib/wait.ts";

const HTTP_CONNECTIONS = 64;
const BATCH = 2_000;
const BATCHES_UNDER_WAY = 8;

export interface SentClick {
  readonly way: "grpc" | "http";
  readonly sentAt: number;
  readonly endedAt: number;
  /** "acked": a verdict that stands in the log; "deferred": durable, and decided later. */
  readonly answer: "acked" | "redirected" | "deferred" | "failed";
  /** Of the block that holds it. */
  readonly offset: number | undefined;
  /** Of one that failed. */
  readonly why?: string;
}

export interface Trickle {
  readonly clicks: readonly SentClick[];
  /** Resolves once all that was sent is answered. */
  stop(): Promise<void>;
}

const tokenNow = (signer: Signer, adId: bigint): Buffer =>
  signer.sign(adId, Date.now(), randomBytes(10)).token;

/** `rate` clicks a second of each protocol, whether or not the ones before were answered. */
export function startTrickle(gateway: GatewayMember, signer: Signer, adId: bigint, rate: number): Trickle {
  const grpc = createGrpcClicks(gateway.grpcAddress, ADMIN_KEY);
  const http = createHttpClicks(gateway.httpPort, HTTP_CONNECTIONS);
  const clicks: SentClick[] = [];
  const underWay = new Set<Promise<void>>();
  let isStopped = false;

  const failed = (why: string) => ({ answer: "failed" as const, offset: undefined, why });
  async function byGrpc(token: Buffer) {
    const { offset, verdict } = await grpc.submitClickPlaced({ token });
    if (verdict === Verdict.DEFERRED) return { answer: "deferred" as const, offset: undefined };
    // A click whose first answer was lost was sent again within, and is found to be a repeat.
    if (verdict === Verdict.ACCEPTED || verdict === Verdict.DUPLICATE) {
      return { answer: "acked" as const, offset };
    }
    return failed(`verdict ${verdict}`);
  }
  async function byHttp(token: Buffer) {
    const { status } = await http.click(tokenText(token));
    return status === 302 ? { answer: "redirected" as const, offset: undefined } : failed(`status ${status}`);
  }

  async function send(way: SentClick["way"]): Promise<void> {
    const sentAt = performance.now();
    const token = tokenNow(signer, adId);
    const outcome = await (way === "grpc" ? byGrpc(token) : byHttp(token)).catch((error: unknown) =>
      failed(String(error)),
    );
    clicks.push({ way, sentAt, endedAt: performance.now(), ...outcome });
  }
  const running = (async () => {
    const startedAt = performance.now();
    for (let n = 0; !isStopped; n++) {
      for (const way of ["grpc", "http"] as const) {
        const click = send(way);
        underWay.add(click);
        void click.finally(() => underWay.delete(click));
      }
      const waitMs = startedAt + ((n + 1) * 1_000) / rate - performance.now();
      if (waitMs > 0) await sleep(waitMs);
    }
  })();
  return {
    clicks,
    async stop() {
      isStopped = true;
      await running;
      await Promise.all(underWay);
      grpc.close();
      http.close();
    },
  };
}

/** As many as fast as they are taken, so that a new owner has something to replay. */
export async function fill(
  gateway: GatewayMember,
  signer: Signer,
  adId: bigint,
  count: number,
): Promise<void> {
  const grpc = createGrpcClicks(gateway.grpcAddress, ADMIN_KEY);
  const stream = grpc.openStream();
  let left = count;
  const sender = async (): Promise<void> => {
    while (left > 0) {
      const size = Math.min(BATCH, left);
      left -= size;
      const batch = Array.from({ length: size }, () => encodeClick({ token: tokenNow(signer, adId) }));
      for (;;) {
        const { refusal } = await stream.send(batch);
        if (refusal === undefined) break;
        await sleep(Math.max(10, refusal.retryAfterMs));
      }
    }
  };
  await Promise.all(Array.from({ length: BATCHES_UNDER_WAY }, sender));
  stream.end();
  grpc.close();
}
