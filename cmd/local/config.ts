/** What `npm start` can be told: flags, each also an environment variable ADTALLY_…; flags win. */
import { Command, InvalidArgumentError, Option } from "commander";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";

export interface LocalConfig {
  readonly host: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly clickhousePort: number;
  readonly dataDir: string;
  readonly shards: number;
  /** Valid for this run, never stored; undefined: the data folder's own. */
  readonly adminKey: string | undefined;
  readonly publicUrl: string | undefined;
  readonly openReports: boolean;
  readonly demo: boolean;
  readonly logLevel: string;
}

const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"];

function port(text: string): number {
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value > 65_535) {
    throw new InvalidArgumentError("a port is a number from 0 to 65535; 0 takes any free one.");
  }
  return value;
}

function shardCount(text: string): number {
  const value = Number(text);
  const { maxShards } = DEFAULT_LIMITS;
  if (!/^\d{1,6}$/.test(text) || value < 1 || value > maxShards)
    throw new InvalidArgumentError(`a whole number from 1 to ${maxShards}.`);
  return value;
}

function key(text: string): string {
  if (!/^[\u0021-\u007e]{8,256}$/.test(text)) {
    throw new InvalidArgumentError("8 to 256 printable ASCII characters without spaces.");
  }
  return text;
}

function url(text: string): string {
  const parsed = URL.canParse(text) ? new URL(text) : undefined;
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
    throw new InvalidArgumentError("an http or https URL, such as https://click.example.com");
  }
  return parsed.href.replace(/\/$/, "");
}

function given(text: string): string {
  if (text.trim() === "") throw new InvalidArgumentError("it is empty.");
  return text;
}

/** Prints help or what is wrong and ends the process where the arguments ask for it. */
export function readConfig(argv: readonly string[], version: string): LocalConfig {
  // An empty variable is an unset one; commander takes it for a value.
  for (const [name, value] of Object.entries(process.env))
    if (name.startsWith("ADTALLY_") && value === "") delete process.env[name];
  const env = (flags: string, description: string, name: string) => new Option(flags, description).env(name);
  const command = new Command("npm start --")
    .description(
      "adtally in one process: gateway, shard actors, reports and the real ClickHouse engine,\n" +
        "nothing else to install. Data survives a restart; Ctrl-C drains and stops.",
    )
    .version(version)
    .allowExcessArguments(false)
    .addOption(
      env("--host <address>", "address to listen on", "ADTALLY_HOST").argParser(given).default("127.0.0.1"),
    )
    .addOption(
      env("--http-port <port>", "clicks, API, demo page", "ADTALLY_HTTP_PORT").argParser(port).default(8080),
    )
    .addOption(env("--grpc-port <port>", "clicks of SDKs", "ADTALLY_GRPC_PORT").argParser(port).default(9090))
    .addOption(
      env("--clickhouse-port <port>", "ClickHouse's HTTP protocol", "ADTALLY_CLICKHOUSE_PORT")
        .argParser(port)
        .default(8123),
    )
    .addOption(
      env("--data-dir <folder>", "everything that is kept", "ADTALLY_DATA_DIR")
        .argParser(given)
        .default(".adtally"),
    )
    .addOption(
      env("--shards <count>", "shards of new clicks; a change adds a routing generation", "ADTALLY_SHARDS")
        .argParser(shardCount)
        .default(4),
    )
    .addOption(
      env(
        "--admin-key <key>",
        "key of scope admin for this run; never stored",
        "ADTALLY_ADMIN_KEY",
      ).argParser(key),
    )
    .addOption(
      env(
        "--public-url <url>",
        "where browsers reach the gateway (default: the HTTP port)",
        "ADTALLY_PUBLIC_URL",
      ).argParser(url),
    )
    .addOption(
      new Option("--no-open-reports", "reports need a key of scope read (env: ADTALLY_OPEN_REPORTS=false)"),
    )
    .addOption(new Option("--no-demo", "no demo advertisers and no /demo page (env: ADTALLY_DEMO=false)"))
    .addOption(
      env("--log-level <level>", "JSON lines on stderr", "ADTALLY_LOG_LEVEL")
        .choices(LOG_LEVELS)
        .default("warn"),
    )
    .parse([...argv], { from: "user" });
  const options = command.opts<Record<string, unknown>>();
  // Commander takes any value of a negated option's variable for "no".
  const flag = (name: string, variable: string): boolean => {
    const text = process.env[variable] ?? "";
    if (command.getOptionValueSource(name) === "cli" || text === "") return options[name] !== false;
    if (text !== "true" && text !== "false")
      command.error(`error: ${variable} is true or false, not "${text}"`);
    return text === "true";
  };
  return {
    host: String(options["host"]),
    httpPort: Number(options["httpPort"]),
    grpcPort: Number(options["grpcPort"]),
    clickhousePort: Number(options["clickhousePort"]),
    dataDir: String(options["dataDir"]),
    shards: Number(options["shards"]),
    adminKey: options["adminKey"] === undefined ? undefined : String(options["adminKey"]),
    publicUrl: options["publicUrl"] === undefined ? undefined : String(options["publicUrl"]),
    openReports: flag("openReports", "ADTALLY_OPEN_REPORTS"),
    demo: flag("demo", "ADTALLY_DEMO"),
    logLevel: String(options["logLevel"]),
  };
}
