/**
 * Certificates of a cluster on one machine, of a development authority of its own: TLS on every hop
 * but the ClickHouse engine's, which speaks none. Renewed at each start; the authority stays.
 */
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { getCACertificates, setDefaultCACertificates, type ConnectionOptions } from "node:tls";
import { isAdtallyError } from "../../actors/core/errors.ts";
import { makeDevCa } from "../dev-ca/make.ts";

/** `public` is what browsers and SDKs see, `status` whoever looks at the cluster from outside. */
const NAMES = ["gateway", "actor", "query", "ingest", "broker", "redis", "public", "status"];
const HOSTS = ["localhost", "127.0.0.1"];
const DAYS = 365;

export interface Secured {
  readonly caPath: string;
  /** For settings of all programs. */
  readonly settings: Readonly<Record<string, string | boolean>>;
  /** Flags of one program: its own certificate. */
  flagsOf(program: string): readonly string[];
  /** Further lines of the broker's server.properties. */
  brokerProperties(port: number, controllerPort: number): Readonly<Record<string, string>>;
  readonly redisFiles: RedisFiles;
  /** Towards broker and Redis, from outside. */
  readonly client: ConnectionOptions;
  /** New certificates of the same authority, as an operator would put them in place. */
  renew(): Promise<void>;
}

export interface RedisFiles {
  readonly caPath: string;
  readonly certPath: string;
  readonly keyPath: string;
}

export async function secure(dir: string, nowMs: () => number): Promise<Secured> {
  const at = (name: string) => path.join(dir, name);
  const make = (over: "renew" | "force") =>
    makeDevCa({ dir, hosts: HOSTS, programs: NAMES, days: DAYS, over, nowMs: nowMs() });
  if (!existsSync(at("ca.crt"))) await make("force");
  else
    await make("renew").catch((error: unknown) => {
      // The authority has had its time.
      if (!isAdtallyError(error, "CONFIG_INVALID")) throw error;
      return make("force");
    });
  const read = (name: string) => readFile(at(name), "utf8");
  const [ca, brokerKey, brokerCertificate, key, cert] = await Promise.all(
    ["ca.crt", "broker.key", "broker.crt", "status.key", "status.crt"].map(read),
  );
  // Kafka takes both from one file.
  await writeFile(at("broker.pem"), `${brokerKey}${brokerCertificate}`, { mode: 0o600 });
  trust(ca!);
  return {
    caPath: at("ca.crt"),
    settings: {
      tls_ca: at("ca.crt"),
      public_tls_cert: at("public.crt"),
      public_tls_key: at("public.key"),
      kafka_tls: true,
      kafka_tls_ca: at("ca.crt"),
      redis_tls_ca: at("ca.crt"),
    },
    flagsOf(program) {
      // An ingester serves nobody and calls none of ours.
      const towards = [...(program === "ingest" ? [] : ["tls"]), "kafka-tls", "redis-tls"];
      return towards.flatMap((flag) => [
        ...[`--${flag}-cert`, at(`${program}.crt`)],
        ...[`--${flag}-key`, at(`${program}.key`)],
      ]);
    },
    brokerProperties: (port, controllerPort) => ({
      listeners: `SSL://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
      "advertised.listeners": `SSL://127.0.0.1:${port}`,
      "listener.security.protocol.map": "SSL:SSL,CONTROLLER:PLAINTEXT",
      "inter.broker.listener.name": "SSL",
      "ssl.keystore.type": "PEM",
      "ssl.keystore.location": at("broker.pem"),
      "ssl.truststore.type": "PEM",
      "ssl.truststore.location": at("ca.crt"),
      "ssl.client.auth": "required",
    }),
    redisFiles: { caPath: at("ca.crt"), certPath: at("redis.crt"), keyPath: at("redis.key") },
    client: { ca: ca!, cert: cert!, key: key! },
    renew: async () => void (await make("renew")),
  };
}

/** For this process's own requests to what it started: `fetch` takes no authority by itself. */
function trust(ca: string): void {
  setDefaultCACertificates([...getCACertificates("default"), ca]);
}
