/**
 * Asks actor hosts and gateways for their reports.
 *
 *  A1 Each question has a deadline; who does not answer within it is told of by an error, never by
 *     an empty report.
 *  A2 A connection that was not asked over for a while is closed: pods come and go, each with an
 *     address of its own.
 */
import { Client, credentials, status as Status } from "@grpc/grpc-js";
import { AdtallyError, messageOf } from "../../core/errors.ts";
import { idKeyOf } from "../../core/ids.ts";
import { loadProtos, serviceOf } from "./protos.ts";
import type { ChannelCredentials, MethodDefinition, ServiceError } from "@grpc/grpc-js";
import type { Limits } from "../../core/limits.ts";
import type { GatewayStatus, HostStatus } from "../../load/report.ts";
import type { Clock } from "../../runtime/clock.ts";

export interface ReportClientDeps {
  readonly limits: Pick<Limits, "reconnectMinMs" | "reconnectMaxMs">;
  readonly clock: Clock;
  /** Of TLS, by program (adapters/tls/grpc.ts); without: plain text. */
  readonly credentials?: { readonly actor: ChannelCredentials; readonly gateway: ChannelCredentials };
}

export interface ReportClient {
  /** Of the actor host at "10.0.0.7:7070". @throws DEADLINE_EXCEEDED, ABORTED, PERMISSION_DENIED */
  host(address: string, deadlineMs: number): Promise<HostStatus>;
  /** Of the gateway whose internal port is there. @throws as `host` */
  gateway(address: string, deadlineMs: number): Promise<GatewayStatus>;
  close(): void;
}

const IDLE_MS = 60_000;

/** As proto-loader decodes it: 64-bit numbers are decimal strings. */
interface HostOnWire {
  readonly host: string;
  readonly assignmentVersion: string;
  readonly held: Readonly<Record<string, string>>;
  readonly clicksPerSecond: number;
  readonly cpuPercent: number;
  readonly lagClicks: string;
  readonly spillClicks: string;
  readonly topAds: readonly {
    readonly adId: string;
    readonly clicksPerSecond: number;
    readonly error: number;
  }[];
  readonly memory: MemoryOnWire | null;
}

interface GatewayOnWire {
  readonly host: string;
  readonly clicksPerSecond: number;
  readonly cpuPercent: number;
  readonly spoolClicks: string;
  readonly spilledClicks: string;
  readonly memory: MemoryOnWire | null;
}

interface MemoryOnWire {
  readonly residentBytes: string;
  readonly limitBytes: string;
}

type ProgramName = "actor" | "gateway";

export function createReportClient({ limits, clock, credentials: tls }: ReportClientDeps): ReportClient {
  const protos = loadProtos();
  const clients = new Map<string, { readonly client: Client; askedMs: number }>();

  /** A2 */
  function clientOf(program: ProgramName, address: string): Client {
    const nowMs = clock.monotonic();
    for (const [key, { client, askedMs }] of clients) {
      if (nowMs - askedMs < IDLE_MS) continue;
      client.close();
      clients.delete(key);
    }
    const key = `${program} ${address}`;
    const known = clients.get(key);
    if (known !== undefined) {
      known.askedMs = nowMs;
      return known.client;
    }
    const client = new Client(address, tls?.[program] ?? credentials.createInsecure(), {
      "grpc.initial_reconnect_backoff_ms": limits.reconnectMinMs,
      "grpc.max_reconnect_backoff_ms": limits.reconnectMaxMs,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_http_proxy": 0,
      // A pod's address would be no lawful server name; the peer is known by its program (tls/names.ts).
      ...(tls !== undefined && { "grpc.ssl_target_name_override": program }),
    });
    clients.set(key, { client, askedMs: nowMs });
    return client;
  }

  function ask<Answer>(
    program: ProgramName,
    service: string,
    address: string,
    deadlineMs: number,
  ): Promise<Answer> {
    const method = serviceOf(protos, service)["Report"] as MethodDefinition<object, Answer>;
    const { path, requestSerialize, responseDeserialize } = method;
    return new Promise((resolve, reject) => {
      clientOf(program, address).makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        {},
        { deadline: clock.now() + deadlineMs },
        (error, answer) => {
          if (error !== null || answer === undefined) reject(errorOf(program, address, error));
          else resolve(answer);
        },
      );
    });
  }

  return {
    async host(address, deadlineMs) {
      const wire = await ask<HostOnWire>("actor", "HostService", address, deadlineMs);
      return {
        host: wire.host,
        assignmentVersion: Number(wire.assignmentVersion),
        held: new Map(Object.entries(wire.held).map(([shard, epoch]) => [Number(shard), Number(epoch)])),
        clicksPerSecond: wire.clicksPerSecond,
        cpuPercent: wire.cpuPercent,
        lagClicks: Number(wire.lagClicks),
        spillClicks: Number(wire.spillClicks),
        topAds: wire.topAds.map(({ adId, clicksPerSecond, error }) => ({
          adId: idKeyOf(BigInt(adId)),
          clicksPerSecond,
          error,
        })),
        memory: memoryOf(wire.memory),
      };
    },
    async gateway(address, deadlineMs) {
      const wire = await ask<GatewayOnWire>("gateway", "GatewayService", address, deadlineMs);
      return {
        host: wire.host,
        clicksPerSecond: wire.clicksPerSecond,
        cpuPercent: wire.cpuPercent,
        spoolClicks: Number(wire.spoolClicks),
        spilledClicks: Number(wire.spilledClicks),
        memory: memoryOf(wire.memory),
      };
    },
    close() {
      for (const { client } of clients.values()) client.close();
      clients.clear();
    },
  };
}

const memoryOf = (wire: MemoryOnWire | null) => ({
  residentBytes: Number(wire?.residentBytes ?? 0),
  limitBytes: Number(wire?.limitBytes ?? 0),
});

/** A1 */
function errorOf(program: ProgramName, address: string, error: ServiceError | null): AdtallyError {
  const what = `the ${program} at ${address} does not report: ${messageOf(error?.details ?? "an empty answer")}`;
  const extra = { cause: error };
  if (error?.code === Status.DEADLINE_EXCEEDED) return new AdtallyError("DEADLINE_EXCEEDED", what, extra);
  if (error?.code === Status.PERMISSION_DENIED) return new AdtallyError("PERMISSION_DENIED", what, extra);
  return new AdtallyError("ABORTED", what, extra);
}
