/**
 * A Kafka broker in KRaft mode with a heap as small as it runs in: for tests, for load tests and
 * for the cluster on one machine. Node 1 is broker and controller; further nodes join it as brokers.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { installKafka } from "./kafka-install.ts";
import { freePorts, startProcess, type ServerProcess } from "./process.ts";

const READY_MS = 60_000;
const STARTED = "Kafka Server started";
const LOOPBACK = "127.0.0.1";

export interface KafkaOptions {
  /** Holds the broker's data; made where it is missing, gone on with where it is not. */
  readonly dir: string;
  /** 0 or nothing: any free one, kept over restarts. */
  readonly port?: number;
  /** Of this machine, where clients reach it; loopback where nothing is said. */
  readonly host?: string;
  /** The port that clients are told to use, where something stands between: a proxy. */
  readonly advertisedPort?: number;
  readonly nodeId?: number;
  /** Node 1's controller, for other nodes. */
  readonly controllerPort?: number;
  /** Further lines of server.properties. */
  readonly properties?: Readonly<Record<string, string>>;
  readonly heapMegabytes?: number;
  /** For a measurement: all of Java's compilers, at the price of a slower start. */
  readonly compiled?: boolean;
  /** What it says is added to this file. */
  readonly logFile?: string;
}

export interface KafkaServer {
  /** host:port, as clients are told it. */
  readonly address: string;
  readonly port: number;
  readonly controllerPort: number;
  /** Where the partitions' segment files lie. */
  readonly dataDir: string;
  readonly pid: number;
  readonly isRunning: boolean;
  kill(): Promise<void>;
  stop(): Promise<void>;
  /** Starts it again over the same data and on the same port; resolves when it serves. */
  restart(): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

export async function startKafka(options: KafkaOptions): Promise<KafkaServer> {
  const { classPath, template } = await installKafka();
  const { dir, host = LOOPBACK, nodeId = 1, heapMegabytes = 192, compiled = false } = options;
  const [free = 0, freeControl = 0] = await freePorts(2);
  const port = options.port || free;
  const controllerPort = options.controllerPort ?? freeControl;
  const dataDir = path.join(dir, "data");
  if (!existsSync(dataDir)) format(template, dataDir, nodeId);
  const config = path.join(dir, "server.properties");
  const advertised = options.advertisedPort ?? port;
  writeFileSync(
    config,
    propertiesOf({ ...options, host, nodeId, port, controllerPort, advertised, dataDir }),
  );
  const launch = () =>
    startProcess({
      name: `Kafka (node ${nodeId}, port ${port})`,
      command: "java",
      args: [...javaOptions(heapMegabytes, compiled), "-cp", classPath, "kafka.Kafka", config],
      ...(options.logFile !== undefined && { logFile: options.logFile }),
      isReady: (output) => output.some((line) => line.includes(STARTED)),
      readyMs: READY_MS,
    });
  let running: ServerProcess = await launch();
  return {
    address: `${host}:${advertised}`,
    port,
    controllerPort,
    dataDir,
    get pid() {
      return running.pid;
    },
    get isRunning() {
      return running.isRunning;
    },
    kill: () => running.kill(),
    stop: () => running.stop(),
    async restart() {
      await running.stop();
      running = await launch();
    },
    signal: (name) => running.signal(name),
  };
}

/** Copies what `kafka-storage format` left; nodes after the first differ in their number alone. */
function format(template: string, dataDir: string, nodeId: number): void {
  mkdirSync(path.dirname(dataDir), { recursive: true });
  cpSync(template, dataDir, { recursive: true });
  const meta = path.join(dataDir, "meta.properties");
  // A directory's id is 16 bytes in base64url, unlike every other's in the cluster.
  const directoryId = Buffer.alloc(16, `adtally-node-${nodeId}`).toString("base64url");
  const text = readFileSync(meta, "utf8")
    .replace(/^node\.id=.*$/m, `node.id=${nodeId}`)
    .replace(/^directory\.id=.*$/m, `directory.id=${directoryId}`);
  writeFileSync(meta, text);
}

const javaOptions = (heapMegabytes: number, compiled: boolean): string[] => [
  `-Xms${heapMegabytes}m`,
  `-Xmx${heapMegabytes}m`,
  // The start counts here, not the peak: one compiler tier, one collector thread.
  "-XX:+UseSerialGC",
  ...(compiled ? [] : ["-XX:TieredStopAtLevel=1"]),
  "-XX:-UsePerfData",
  "-Djava.awt.headless=true",
  "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
  "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
];

interface Places extends KafkaOptions {
  readonly host: string;
  readonly nodeId: number;
  readonly port: number;
  readonly controllerPort: number;
  readonly advertised: number;
  readonly dataDir: string;
}

function propertiesOf(places: Places): string {
  const { host, nodeId, port, controllerPort, advertised, dataDir, properties = {} } = places;
  const isFirst = nodeId === 1;
  const lines: Record<string, string> = {
    "process.roles": isFirst ? "broker,controller" : "broker",
    "node.id": String(nodeId),
    "controller.quorum.voters": `1@${LOOPBACK}:${controllerPort}`,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    listeners: `PLAINTEXT://${host}:${port}` + (isFirst ? `,CONTROLLER://${LOOPBACK}:${controllerPort}` : ""),
    "advertised.listeners": `PLAINTEXT://${host}:${advertised}`,
    "log.dirs": dataDir,
    "auto.create.topics.enable": "false",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "num.recovery.threads.per.data.dir": "2",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "log.cleaner.io.buffer.size": "65536",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    // A broker that was killed comes back only when its session has expired.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    ...properties,
  };
  return Object.entries(lines)
    .map(([key, value]) => `${key}=${value}\n`)
    .join("");
}
