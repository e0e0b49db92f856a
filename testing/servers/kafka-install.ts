/**
 * Apache Kafka as Maven Central has it: the jars of the server with what they need, and the two
 * files that a formatted KRaft log directory begins with. Needs Java 17 and Maven.
 */
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { cached, reportToStderr, type Report } from "./cache.ts";
import { hasCommand, runCommand } from "./command.ts";

export const KAFKA_VERSION = "4.1.1";
const COPY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
/** Every broker that we start belongs to this cluster; any 16 bytes in base64url do. */
export const CLUSTER_ID = "YWR0YWxseS10ZXN0LWNsdQ";

export interface KafkaInstallation {
  /** The jars, as java's class path takes them. */
  readonly classPath: string;
  /** A log directory formatted for node 1. */
  readonly template: string;
}

/** Why Kafka cannot be had on this machine; undefined where it can. */
export async function kafkaLacks(): Promise<string | undefined> {
  if (!(await hasCommand("java", "-version"))) {
    return "Java is missing: install a Java runtime of version 17 or later (java), then start again";
  }
  if (!(await hasCommand("mvn", "--version"))) {
    return "Maven is missing: install Maven (mvn), which fetches the Kafka server, then start again";
  }
  return undefined;
}

export async function installKafka(report: Report = reportToStderr): Promise<KafkaInstallation> {
  const folder = await cached(`kafka-${KAFKA_VERSION}`, `Apache Kafka ${KAFKA_VERSION}`, report, install);
  return { classPath: path.join(folder, "lib", "*"), template: path.join(folder, "template") };
}

async function install(folder: string): Promise<void> {
  const lacking = await kafkaLacks();
  if (lacking !== undefined) throw new Error(`Apache Kafka cannot be installed: ${lacking}`);
  const lib = path.join(folder, "lib");
  const repository = path.join(folder, "m2");
  writeFileSync(path.join(folder, "pom.xml"), POM);
  await runCommand(
    "mvn",
    [
      "-B",
      "-q",
      `-Dmaven.repo.local=${repository}`,
      COPY_PLUGIN,
      `-DoutputDirectory=${lib}`,
      "-DincludeScope=runtime",
    ],
    { cwd: folder },
  );
  rmSync(repository, { recursive: true, force: true });

  // Formatting takes a Java start of its own: once here, then each broker copies the result.
  const formatted = path.join(folder, "formatted");
  const properties = path.join(folder, "format.properties");
  mkdirSync(formatted);
  writeFileSync(properties, formatProperties(formatted));
  const format = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", properties];
  await runCommand("java", ["-cp", path.join(lib, "*"), ...format]);
  cpSync(formatted, path.join(folder, "template"), { recursive: true });
  rmSync(formatted, { recursive: true });
}

const formatProperties = (dir: string): string =>
  [
    "process.roles=broker,controller",
    "node.id=1",
    "controller.quorum.voters=1@127.0.0.1:9093",
    "controller.listener.names=CONTROLLER",
    "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    `log.dirs=${dir}`,
  ].join("\n");

const dependency = (group: string, artifact: string, version: string): string =>
  `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>adtally.testing</groupId>
  <artifactId>kafka-server</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    ${dependency("org.apache.kafka", "kafka_2.13", KAFKA_VERSION)}
    ${dependency("org.slf4j", "slf4j-simple", "1.7.36")}
  </dependencies>
</project>
`;
