/** A broker with a port for each way in: client certificates, and user and password over TLS. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { runCommand } from "../../../testing/servers/command.ts";
import { installKafka } from "../../../testing/servers/kafka-install.ts";
import { startKafka } from "../../../testing/servers/kafka.ts";
import { freePorts } from "../../../testing/servers/process.ts";
import type { Pem } from "../tls/authority.ts";

export const USER = "adtally";
export const PASSWORD = "hush-hush";

export interface SecureBroker {
  /** Wants a client certificate of the broker's own authority. */
  readonly ssl: string;
  /** Wants user and password: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. */
  readonly saslSsl: string;
  /** Starts it again with another certificate. */
  renew(own: Pem): Promise<void>;
  close(): Promise<void>;
}

const LOGIN = "org.apache.kafka.common.security";
const SCRAM = `${LOGIN}.scram.ScramLoginModule required;`;
const SCRAM_MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-512"] as const;

export async function startSecureBroker(ca: string, own: Pem): Promise<SecureBroker> {
  const dir = await mkdtemp(path.join(os.tmpdir(), "adtally-kafka-tls-"));
  const at = (name: string) => path.join(dir, name);
  const put = ({ certificate, key }: Pem) => writeFile(at("broker.pem"), key + certificate);
  await put(own);
  await writeFile(at("ca.pem"), ca);
  const [plain = 0, controllerPort = 0, ssl = 0, saslSsl = 0] = await freePorts(4);
  const public_ = `PLAINTEXT://127.0.0.1:${plain},SSL://127.0.0.1:${ssl},SASL_SSL://127.0.0.1:${saslSsl}`;
  const properties: Record<string, string> = {
    listeners: `${public_},CONTROLLER://127.0.0.1:${controllerPort}`,
    "advertised.listeners": public_,
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": at("broker.pem"),
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": at("ca.pem"),
    "listener.name.ssl.ssl.client.auth": "required",
    "sasl.enabled.mechanisms": ["PLAIN", ...SCRAM_MECHANISMS].join(),
    "listener.name.sasl_ssl.plain.sasl.jaas.config": `${LOGIN}.plain.PlainLoginModule required user_${USER}="${PASSWORD}";`,
  };
  for (const mechanism of SCRAM_MECHANISMS)
    properties[`listener.name.sasl_ssl.${mechanism.toLowerCase()}.sasl.jaas.config`] = SCRAM;
  const server = await startKafka({ dir: at("kafka"), port: plain, controllerPort, properties });

  const { classPath } = await installKafka();
  const java = ["-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", classPath, "kafka.admin.ConfigCommand"];
  const user = ["--entity-type", "users", "--entity-name", USER, "--alter", "--add-config"];
  for (const mechanism of SCRAM_MECHANISMS) {
    const credential = `${mechanism}=[iterations=4096,password=${PASSWORD}]`;
    await runCommand("java", [...java, "--bootstrap-server", `127.0.0.1:${plain}`, ...user, credential]);
  }
  return {
    ssl: `127.0.0.1:${ssl}`,
    saslSsl: `127.0.0.1:${saslSsl}`,
    async renew(next) {
      await put(next);
      await server.restart();
    },
    async close() {
      await server.kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
