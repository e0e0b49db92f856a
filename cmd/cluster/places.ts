/** Where each part of a cluster lies and listens; pure. */
import path from "node:path";

export interface GatewayPorts {
  readonly http: number;
  readonly grpc: number;
}

export interface ActorPorts {
  readonly grpc: number;
  readonly admin: number;
}

export interface Ports {
  readonly broker: number;
  readonly redis: number;
  readonly engine: number;
  readonly query: number;
  readonly ingest: number;
  readonly gateways: readonly GatewayPorts[];
  readonly actors: readonly ActorPorts[];
}

/** The ports that are wanted: 0, or nothing, is any free one; of gateways the first one's, the next follow. */
export interface WantedPorts {
  readonly http?: number;
  readonly grpc?: number;
  readonly query?: number;
  readonly broker?: number;
  readonly redis?: number;
  readonly engine?: number;
}

/** How many free ports `placePorts` may need. */
export const portsNeeded = (gateways: number, actors: number): number => 5 + 2 * gateways + 2 * actors;

export function placePorts(
  wanted: WantedPorts,
  gateways: number,
  actors: number,
  free: readonly number[],
): Ports {
  const left = [...free];
  const place = (first: number | undefined, nth = 0): number => {
    if (first !== undefined && first > 0) return first + nth;
    const port = left.pop();
    if (port === undefined) throw new Error("a cluster needs more free ports than it was given");
    return port;
  };
  const each = <T>(count: number, make: (i: number) => T): T[] =>
    Array.from({ length: count }, (_, i) => make(i));
  return {
    broker: place(wanted.broker),
    redis: place(wanted.redis),
    engine: place(wanted.engine),
    query: place(wanted.query),
    ingest: place(undefined),
    gateways: each(gateways, (i) => ({ http: place(wanted.http, i), grpc: place(wanted.grpc, i) })),
    actors: each(actors, () => ({ grpc: place(undefined), admin: place(undefined) })),
  };
}

export const gatewayName = (i: number): string => `gateway-${i}`;
export const actorName = (i: number): string => `actor-${i}`;

export interface Folders {
  readonly root: string;
  readonly logs: string;
  readonly state: string;
  /** What every program is told; its own is told by flags. */
  readonly settings: string;
  readonly broker: string;
  readonly redis: string;
  readonly engine: string;
  readonly tls: string;
  of(name: string): string;
  logOf(name: string): string;
}

export function foldersIn(dir: string): Folders {
  const root = path.resolve(dir);
  const logs = path.join(root, "logs");
  return {
    root,
    logs,
    state: path.join(root, "state"),
    settings: path.join(root, "adtally.yaml"),
    broker: path.join(root, "broker"),
    redis: path.join(root, "redis"),
    engine: path.join(root, "clickhouse"),
    tls: path.join(root, "tls"),
    of: (name) => path.join(root, name),
    logOf: (name) => path.join(logs, `${name}.log`),
  };
}
