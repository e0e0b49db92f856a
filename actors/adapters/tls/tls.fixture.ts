/** Authorities and certificate files of a test, in a folder of its own. */
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { createAuthority } from "./authority.ts";
import { openCertificates, type Certificates } from "./certificates.ts";
import type { Authority, IssueRequest, Pem } from "./authority.ts";
import type { AnyFiles, CertificateFiles, ServerFiles } from "./material.ts";
import type { Program } from "./names.ts";

const HOUR_MS = 3_600_000;
/** Valid from an hour ago for two hours, moved by so many hours. */
export const validity = (byHours = 0) => ({
  notBefore: new Date(Date.now() + (byHours - 1) * HOUR_MS),
  notAfter: new Date(Date.now() + (byHours + 1) * HOUR_MS),
});

export const testAuthority = (name = "test CA"): Promise<Authority> =>
  createAuthority({ name, notBefore: validity(-1).notBefore, notAfter: validity(1).notAfter });

export interface TestFiles {
  readonly files: CertificateFiles;
  write(ca: string, own: Pem): Promise<void>;
  issue(authority: Authority, request?: Partial<IssueRequest>, ca?: string): Promise<void>;
  open(program?: Program): Promise<Certificates>;
  /** To check others by, without a certificate of one's own. */
  openAuthority(): Promise<Certificates<AnyFiles>>;
  /** To serve anyone with, without a word on whom to trust. */
  openPublic(): Promise<Certificates<ServerFiles>>;
}

export async function withFolder(): Promise<{ files(name: string): TestFiles; remove(): Promise<void> }> {
  const dir = await mkdtemp(path.join(tmpdir(), "adtally-tls-"));
  const opened: { close(): void }[] = [];
  const limits = { ...DEFAULT_LIMITS, certificatePollMs: 20 };
  const common = { limits, clock: systemClock, logger: silentLogger };
  async function take<F extends AnyFiles>(files: F): Promise<Certificates<F>> {
    const certificates = await openCertificates({ ...common, files });
    opened.push(certificates);
    return certificates;
  }
  const put = async (to: string, text: string) => {
    await writeFile(`${to}.new`, text, { mode: 0o600 });
    await rename(`${to}.new`, to);
  };
  return {
    files(name) {
      const at = (end: string) => path.join(dir, `${name}${end}`);
      const files = { caPath: at("-ca.crt"), certPath: at(".crt"), keyPath: at(".key") };
      const write = async (ca: string, own: Pem) => {
        await put(files.caPath, ca);
        await put(files.keyPath, own.key);
        await put(files.certPath, own.certificate);
      };
      return {
        files,
        write,
        async issue(authority, request = {}, ca = authority.certificate) {
          await write(
            ca,
            await authority.issue({ hosts: ["localhost", "127.0.0.1"], ...validity(), ...request }),
          );
        },
        async open(program) {
          const deps = { ...common, files };
          const certificates = await openCertificates(program === undefined ? deps : { ...deps, program });
          opened.push(certificates);
          return certificates;
        },
        openAuthority: () => take<AnyFiles>({ caPath: files.caPath }),
        openPublic: () => take<ServerFiles>({ certPath: files.certPath, keyPath: files.keyPath }),
      };
    },
    async remove() {
      for (const certificates of opened) certificates.close();
      await rm(dir, { recursive: true });
    },
  };
}
