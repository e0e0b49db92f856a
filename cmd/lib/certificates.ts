/**
 * The certificate files of a program, each set by what it is for: towards the other programs, for
 * the public, and towards Kafka, Redis and ClickHouse. All are taken up anew while the program runs,
 * told of by metrics, and named in the log before they expire.
 */
import { openCertificates, type Certificates } from "../../actors/adapters/tls/certificates.ts";
import { watchExpiry } from "../../actors/adapters/tls/expiry.ts";
import type { AnyFiles, CertificateFiles, ServerFiles } from "../../actors/adapters/tls/material.ts";
import { observeCertificates } from "../../actors/adapters/tls/metrics.ts";
import type { Program as ProgramName } from "../../actors/adapters/tls/names.ts";
import type { ConfigOf } from "../config/setting.ts";
import type {
  clickhouseSettings,
  kafkaSettings,
  publicTlsSettings,
  sharedStateSettings,
  tlsSettings,
} from "../config/settings.ts";
import type { Program } from "./program.ts";

/** Of these a program has the settings that it needs. */
export type CertificateConfig = Partial<
  ConfigOf<typeof tlsSettings> &
    ConfigOf<typeof publicTlsSettings> &
    Pick<ConfigOf<typeof kafkaSettings>, "kafkaTls" | "kafkaTlsCa" | "kafkaTlsCert" | "kafkaTlsKey"> &
    Pick<ConfigOf<typeof sharedStateSettings>, "redisUrl" | "redisTlsCa" | "redisTlsCert" | "redisTlsKey"> &
    Pick<
      ConfigOf<typeof clickhouseSettings>,
      "clickhouseUrl" | "clickhouseTlsCa" | "clickhouseTlsCert" | "clickhouseTlsKey"
    >
>;

export interface ProgramCertificates {
  /** Towards the other programs; plain text where none is given. */
  readonly programs: Certificates | undefined;
  /** For anyone. */
  readonly public: Certificates<ServerFiles> | undefined;
  readonly kafka: Certificates<AnyFiles> | undefined;
  readonly redis: Certificates<AnyFiles> | undefined;
  readonly clickhouse: Certificates<AnyFiles> | undefined;
}

/** Each fault names its flags. */
export function checkCertificates(config: CertificateConfig): readonly string[] {
  const faults: string[] = [];
  const { tlsCa, tlsCert, tlsKey } = config;
  const own = [tlsCa, tlsCert, tlsKey].filter((file) => file !== undefined).length;
  if (own !== 0 && own !== 3)
    faults.push("--tls-ca, --tls-cert and --tls-key go together: give all three or none");
  const pair = (flag: string, cert: string | undefined, key: string | undefined) => {
    if ((cert === undefined) !== (key === undefined))
      faults.push(`--${flag}-cert and --${flag}-key go together: one of them is not set`);
  };
  pair("public-tls", config.publicTlsCert, config.publicTlsKey);
  pair("kafka-tls", config.kafkaTlsCert, config.kafkaTlsKey);
  pair("redis-tls", config.redisTlsCert, config.redisTlsKey);
  pair("clickhouse-tls", config.clickhouseTlsCert, config.clickhouseTlsKey);
  const given = (prefix: "kafkaTls" | "redisTls" | "clickhouseTls") =>
    (["Ca", "Cert", "Key"] as const).find((end) => config[`${prefix}${end}`] !== undefined)?.toLowerCase();
  const [kafka, redis, clickhouse] = [given("kafkaTls"), given("redisTls"), given("clickhouseTls")];
  if (kafka !== undefined && config.kafkaTls !== true)
    faults.push(`--kafka-tls-${kafka} is set, but --kafka-tls is not`);
  if (redis !== undefined && config.redisUrl?.startsWith("rediss:") !== true)
    faults.push(`--redis-tls-${redis} is set, but --redis-url is not rediss://…`);
  if (clickhouse !== undefined && config.clickhouseUrl?.startsWith("https:") !== true)
    faults.push(`--clickhouse-tls-${clickhouse} is set, but --clickhouse-url is not https://…`);
  return faults;
}

/**
 * All sets that the configuration names, opened once; the program closes them last. `name`: whom
 * the program's own certificate must name; a program that speaks with no other has none.
 *
 * @throws CONFIG_INVALID, naming the file at fault
 */
export async function openProgramCertificates(
  { clock, config, life, limits, logger, metrics }: Program<CertificateConfig>,
  name?: ProgramName,
): Promise<ProgramCertificates> {
  const sets = new Map<string, Certificates<AnyFiles>>();
  async function open<F extends AnyFiles>(
    of: string,
    files: F,
    program?: ProgramName,
  ): Promise<Certificates<F>> {
    const deps = { files, limits, clock, logger };
    const certificates = await openCertificates(program === undefined ? deps : { ...deps, program });
    life.onStop(`the certificates of ${of}`, () => certificates.close());
    sets.set(of, certificates);
    return certificates;
  }
  const some = (of: string, files: AnyFiles) =>
    Object.keys(files).length === 0 ? undefined : open(of, files);

  const { tlsCa, tlsCert, tlsKey, publicTlsCert, publicTlsKey } = config;
  const programs: CertificateFiles | undefined =
    tlsCa !== undefined && tlsCert !== undefined && tlsKey !== undefined
      ? { caPath: tlsCa, certPath: tlsCert, keyPath: tlsKey }
      : undefined;
  const anyone: ServerFiles | undefined =
    publicTlsCert !== undefined && publicTlsKey !== undefined
      ? { certPath: publicTlsCert, keyPath: publicTlsKey }
      : undefined;
  const opened: ProgramCertificates = {
    programs: programs && (await open("programs", programs, name)),
    public: anyone && (await open("public", anyone)),
    kafka: await some("kafka", filesOf(config.kafkaTlsCa, config.kafkaTlsCert, config.kafkaTlsKey)),
    redis: await some("redis", filesOf(config.redisTlsCa, config.redisTlsCert, config.redisTlsKey)),
    clickhouse: await some(
      "clickhouse",
      filesOf(config.clickhouseTlsCa, config.clickhouseTlsCert, config.clickhouseTlsKey),
    ),
  };
  observeCertificates(metrics, clock, sets);
  const watching = watchExpiry({ sets, limits, clock, logger });
  life.onStop("the certificates' expiry", () => watching.close());
  return opened;
}

function filesOf(caPath?: string, certPath?: string, keyPath?: string): AnyFiles {
  return {
    ...(caPath !== undefined && { caPath }),
    ...(certPath !== undefined && { certPath }),
    ...(keyPath !== undefined && { keyPath }),
  };
}
