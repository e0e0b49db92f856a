/** A program's own certificate towards the other programs; plain text where none is given. */
import { openCertificates, type Certificates } from "../../actors/adapters/tls/certificates.ts";
import type { Program as ProgramName } from "../../actors/adapters/tls/names.ts";
import type { ConfigOf } from "../config/setting.ts";
import type { tlsSettings } from "../config/settings.ts";
import type { Program } from "./program.ts";

type TlsConfig = ConfigOf<typeof tlsSettings>;

export function checkTls({ tlsCa, tlsCert, tlsKey }: TlsConfig): readonly string[] {
  const given = [tlsCa, tlsCert, tlsKey].filter((file) => file !== undefined).length;
  return given === 0 || given === 3
    ? []
    : ["--tls-ca, --tls-cert and --tls-key go together: give all three or none"];
}

/** @throws CONFIG_INVALID, naming the file at fault */
export async function openTls(
  program: Program<TlsConfig>,
  name: ProgramName,
): Promise<Certificates | undefined> {
  const { clock, config, life, limits, logger } = program;
  const { tlsCa: caPath, tlsCert: certPath, tlsKey: keyPath } = config;
  if (caPath === undefined || certPath === undefined || keyPath === undefined) return undefined;
  const files = { caPath, certPath, keyPath };
  const certificates = await openCertificates({ files, program: name, limits, clock, logger });
  life.onStop("the certificates", () => certificates.close());
  return certificates;
}
