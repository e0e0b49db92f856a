/** What `npm run cluster` can be told. */
import { Command, InvalidArgumentError, Option } from "commander";

export interface ClusterConfig {
  readonly dataDir: string;
  readonly gateways: number;
  readonly actors: number;
  readonly shards: number;
  /** Undefined: the usual one where it is free, else any. */
  readonly httpPort: number | undefined;
  readonly grpcPort: number | undefined;
  readonly queryPort: number | undefined;
  readonly brokerPort: number | undefined;
  readonly redisPort: number | undefined;
  readonly clickhousePort: number | undefined;
  readonly openReports: boolean;
  readonly tls: boolean;
  readonly logLevel: "debug" | "info" | "warn" | "error";
}

const LOG_LEVELS = ["debug", "info", "warn", "error"];
const MOST_PROCESSES = 16;
const MOST_SHARDS = 256;

function from(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d{1,5}$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`a number from ${least} to ${most}.`);
  };
}

/** Prints help or what is wrong and ends the process where the arguments ask for it. */
export function readConfig(argv: readonly string[], version: string): ClusterConfig {
  const count = (flags: string, what: string, most: number, fallback: number) =>
    new Option(flags, what).argParser(from(1, most)).default(fallback);
  const port = (flags: string, what: string) => new Option(flags, what).argParser(from(0, 65_535));
  return new Command("npm run cluster --")
    .description(
      "adtally as it runs in production, on this machine: a broker, Redis, the\n" +
        "ClickHouse engine, gateways, actor hosts, the raw ingester and the query\n" +
        "service, each a process of its own on 127.0.0.1. What dies is started again.\n\n" +
        "Installs the servers it needs into .cache/servers (Kafka needs Java and\n" +
        "Maven). Data survives a restart; q or Ctrl-C stops everything in order.",
    )
    .version(version)
    .allowExcessArguments(false)
    .addOption(count("--gateways <count>", "gateways", MOST_PROCESSES, 2))
    .addOption(count("--actors <count>", "actor hosts", MOST_PROCESSES, 3))
    .addOption(
      count("--shards <count>", "shards of new clicks; a change adds a routing generation", MOST_SHARDS, 4),
    )
    .addOption(
      port("--http-port <port>", "HTTP of gateway-0, the next follow (default: 8080 where free, else any)"),
    )
    .addOption(
      port("--grpc-port <port>", "gRPC of gateway-0, the next follow (default: 9090 where free, else any)"),
    )
    .addOption(port("--query-port <port>", "HTTP of the query service (default: 8070 where free, else any)"))
    .addOption(port("--broker-port <port>", "the broker (default: any free one)"))
    .addOption(port("--redis-port <port>", "Redis (default: any free one)"))
    .addOption(port("--clickhouse-port <port>", "ClickHouse's HTTP protocol (default: any free one)"))
    .option("--data-dir <folder>", "everything that is kept, and the logs", ".adtally-cluster")
    .option("--tls", "TLS on every hop but the ClickHouse engine's, of an authority made here", false)
    .option("--no-open-reports", "reports need a key of scope read")
    .addOption(new Option("--log-level <level>", "of the programs' logs").choices(LOG_LEVELS).default("info"))
    .parse([...argv], { from: "user" })
    .opts<ClusterConfig>();
}
