/**
 * adtally as it runs in production, on one machine: broker, Redis, the ClickHouse engine, gateways,
 * actor hosts, the raw ingester and the query service, each a process of its own on loopback.
 * `npm run cluster` shows one to people; load tests and tests kill its parts.
 *
 *  L1 A start that fails does so at once, leaves no process behind, and says what the failed one
 *     said last.
 *  L2 Every process ends with this one, however this one ends.
 *  L3 Each member starts again on the same ports and folders, whatever became of the others.
 *  L4 `stopAll` stops from the gateways inwards, so that what was taken in is written down.
 */
import { systemClock } from "../../actors/runtime/clock.ts";
import { startKafka, type KafkaOptions } from "../../testing/servers/kafka.ts";
import { freePorts } from "../../testing/servers/process.ts";
import { startRedis } from "../../testing/servers/redis.ts";
import { prepareFiles } from "./files.ts";
import { programMember, serverMember, startTogether, type Member } from "./member.ts";
import { secure, type Secured } from "./secure.ts";
import { actorName, foldersIn, gatewayName, placePorts, portsNeeded, type WantedPorts } from "./places.ts";
import { publishInFiles, publishInRedis } from "./publication.ts";

export interface ClusterOptions {
  /** Holds all data and logs; gone on with where it is there. */
  readonly dir: string;
  readonly gateways?: number;
  readonly actors?: number;
  readonly shards?: number;
  /** Ways of the ads that are split from the first generation on. */
  readonly splits?: ReadonlyMap<number, number>;
  readonly ports?: WantedPorts;
  /** Undefined: the folder's own, made at the first start. */
  readonly adminKey?: string;
  /** Where the assignment and the routing table are published; in files by default. */
  readonly publishIn?: "files" | "redis";
  readonly openReports?: boolean;
  /** TLS on every hop that can, of a development authority in the cluster's folder. */
  readonly tls?: boolean;
  /** For a measurement: a broker as large and as compiled as its peer's. */
  readonly brokerJvm?: Pick<KafkaOptions, "heapMegabytes" | "compiled">;
  readonly logLevel?: "debug" | "info" | "warn" | "error";
  /** Told what is under way, for a person who waits. */
  readonly progress?: (what: string) => void;
}

export interface GatewayMember extends Member {
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly url: string;
  readonly grpcAddress: string;
}

export interface ActorMember extends Member {
  readonly grpcPort: number;
  readonly adminPort: number;
}

export interface ServerMember extends Member {
  readonly port: number;
  readonly url: string;
}

export interface Cluster {
  readonly dir: string;
  readonly adminKey: string;
  /** Undefined: plain text. */
  readonly secured: Secured | undefined;
  readonly shards: number;
  readonly gateways: readonly GatewayMember[];
  readonly actors: readonly ActorMember[];
  /** Its url is host:port. */
  readonly broker: ServerMember;
  readonly redis: ServerMember;
  readonly engine: ServerMember;
  readonly query: ServerMember;
  readonly ingest: Member;
  /** All of them, in the order of their start. */
  readonly members: readonly Member[];
  /** Gives all shards to these actor hosts (by name: actor-0 …), evenly, and only to them. */
  assign(hosts: readonly string[]): Promise<void>;
  stopAll(): Promise<void>;
  /** SIGKILL to all processes at once. */
  killAll(): Promise<void>;
}

/** One partition for each shard that there will ever be; a broker on a laptop opens files for each. */
const PARTITIONS = 16;

/** @throws Error, in the words of the process that failed */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { dir, gateways = 2, actors = 3, shards = 4, openReports = true, logLevel = "info" } = options;
  const { progress = () => undefined, publishIn = "files" } = options;
  const folders = foldersIn(dir);
  const [controllerPort = 0, ...free] = await freePorts(1 + portsNeeded(gateways, actors));
  const ports = placePorts(options.ports ?? {}, gateways, actors, free);
  const secured = options.tls === true ? await secure(folders.tls, systemClock.now) : undefined;
  const served = secured === undefined ? "http" : "https";
  // TLS of grpc-js checks names alone, no addresses.
  const grpcHost = secured === undefined ? "127.0.0.1" : "localhost";
  const { adminKey, clickhouseUrl, redisUrl } = await prepareFiles(folders, ports, {
    adminKey: options.adminKey,
    partitions: Math.max(PARTITIONS, shards),
    publishIn,
    secured,
    openReports,
    logLevel,
  });

  const program = (name: string, folder: string, port: number, ...args: (string | number)[]): Member => {
    const isPublic = folder === "gateway" || folder === "query";
    const url = `${isPublic ? served : "http"}://127.0.0.1:${port}`;
    return programMember({
      name,
      main: `cmd/${folder}/main.ts`,
      args: [
        "--config",
        folders.settings,
        "--host-name",
        name,
        ...(secured?.flagsOf(folder) ?? []),
        ...args.map(String),
      ],
      logFile: folders.logOf(name),
      aliveUrl: `${url}/healthz`,
      readyUrl: `${url}/readyz`,
      admin: url,
    });
  };
  const at = <M extends Member, P extends object>(member: M, places: P): M & P =>
    Object.defineProperties(member, Object.getOwnPropertyDescriptors(places)) as M & P;

  const broker = serverMember("broker", folders.logOf("broker"), () =>
    startKafka({
      dir: folders.broker,
      port: ports.broker,
      logFile: folders.logOf("broker"),
      ...options.brokerJvm,
      ...(secured && {
        controllerPort,
        properties: secured.brokerProperties(ports.broker, controllerPort),
      }),
    }),
  );
  const redis = serverMember("redis", folders.logOf("redis"), () =>
    startRedis({
      dir: folders.redis,
      port: ports.redis,
      logFile: folders.logOf("redis"),
      ...(secured && { tls: secured.redisFiles }),
    }),
  );
  const engine = programMember({
    name: "clickhouse",
    main: "cmd/clickhouse/main.ts",
    args: ["--port", String(ports.engine), "--data-dir", folders.engine],
    logFile: folders.logOf("clickhouse"),
    aliveUrl: `${clickhouseUrl}/ping`,
    readyUrl: `${clickhouseUrl}/ping`,
  });
  const actorMembers = ports.actors.map(({ grpc, admin }, i) => {
    const name = actorName(i);
    const listening = ["--grpc-port", grpc, "--admin-port", admin, "--data-dir", folders.of(name)];
    return at(program(name, "actor", admin, ...listening), { grpcPort: grpc, adminPort: admin });
  });
  const gatewayMembers = ports.gateways.map(({ http, grpc }, i) => {
    const name = gatewayName(i);
    const listening = ["--http-port", http, "--grpc-port", grpc, "--data-dir", folders.of(name)];
    const places = { httpPort: http, grpcPort: grpc, url: `${served}://127.0.0.1:${http}` };
    const member = program(name, "gateway", http, ...listening);
    return at(member, { ...places, grpcAddress: `${grpcHost}:${grpc}` });
  });
  const ingest = program("ingest", "ingest", ports.ingest, "--admin-port", ports.ingest);
  const query = program(
    "query",
    "query",
    ports.query,
    ...["--http-port", ports.query, "--data-dir", folders.of("query")],
  );

  const addresses = new Map(
    actorMembers.map(({ name, grpcPort }) => [name, `127.0.0.1:${grpcPort}`] as const),
  );
  const assign = async (hosts: readonly string[]): Promise<void> => {
    const chosen = hosts.map((name) => {
      const address = addresses.get(name);
      if (address === undefined) throw new Error(`${name} is not one of ${[...addresses.keys()].join(", ")}`);
      return [name, address] as const;
    });
    const wanted = { hosts: new Map(chosen), shards, splits: options.splits };
    if (publishIn === "redis")
      await publishInRedis({ url: redisUrl, ...(secured && { tls: secured.client }) }, wanted);
    else await publishInFiles(folders.state, wanted);
  };

  const servers = [broker, redis, engine];
  const inner = [...actorMembers, ingest, query];
  const members = [...servers, ...inner, ...gatewayMembers];
  const all = (which: readonly Member[], work: (member: Member) => Promise<void>): Promise<unknown> =>
    Promise.all(which.map(work));
  const stopAll = async (): Promise<void> => {
    // The ingester after the actor hosts: it carries what they append last.
    for (const group of [[...gatewayMembers, query], actorMembers, [ingest], servers])
      await all(group, (member) => member.stop());
  };
  const killAll = async (): Promise<void> => {
    for (const member of members) member.signal("SIGKILL");
    await all(members, (member) => member.kill());
  };
  try {
    progress("starting the broker, Redis and the ClickHouse engine");
    await startTogether(servers);
    await assign([...addresses.keys()]);
    progress(`starting ${gateways} gateways, ${actors} actor hosts, query and ingest`);
    await startTogether([...inner, ...gatewayMembers]);
  } catch (error) {
    await killAll();
    throw error;
  }
  return {
    dir: folders.root,
    adminKey,
    secured,
    shards,
    gateways: gatewayMembers,
    actors: actorMembers,
    broker: at(broker, { port: ports.broker, url: `127.0.0.1:${ports.broker}` }),
    redis: at(redis, { port: ports.redis, url: redisUrl }),
    engine: at(engine, { port: ports.engine, url: clickhouseUrl }),
    query: at(query, { port: ports.query, url: `${served}://127.0.0.1:${ports.query}` }),
    ingest,
    members,
    assign,
    stopAll,
    killAll,
  };
}
