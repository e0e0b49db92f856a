/** The Kafka Streams peer, built by Maven into the cache of servers; again whenever its sources change. */
import { createHash } from "node:crypto";
import { cpSync, globSync, readFileSync } from "node:fs";
import path from "node:path";
import { cached, reportToStderr, type Report } from "../../testing/servers/cache.ts";
import { runCommand } from "../../testing/servers/command.ts";
import { kafkaLacks } from "../../testing/servers/kafka-install.ts";

const SOURCES = path.join(import.meta.dirname, "kafka-streams");
const COPY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/** Its class path. @throws Error that says what is missing */
export async function installPeer(report: Report = reportToStderr): Promise<string> {
  const files = globSync("**/*.{xml,java}", { cwd: SOURCES }).sort();
  const hash = createHash("sha256");
  for (const file of files) hash.update(file).update(readFileSync(path.join(SOURCES, file)));
  const name = `kafka-streams-peer-${hash.digest("hex").slice(0, 12)}`;
  const folder = await cached(name, "the Kafka Streams peer", report, build);
  return [path.join(folder, "target", "lib", "*"), path.join(folder, "target", "classes")].join(":");
}

async function build(folder: string): Promise<void> {
  const lacking = await kafkaLacks();
  if (lacking !== undefined) throw new Error(`the Kafka Streams peer cannot be built: ${lacking}`);
  cpSync(SOURCES, folder, { recursive: true });
  const libraries = [`-DoutputDirectory=${path.join(folder, "target", "lib")}`, "-DincludeScope=runtime"];
  await runCommand("mvn", ["-B", "-q", "compile", COPY_PLUGIN, ...libraries], { cwd: folder });
}
