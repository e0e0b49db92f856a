/** Makes the files of a development authority: ca.crt, ca.key, and NAME.crt, NAME.key a program. */
import { access, chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { createAuthority, readAuthority, type Authority } from "../../actors/adapters/tls/authority.ts";
import { AdtallyError, messageOf } from "../../actors/core/errors.ts";

export interface DevCaRequest {
  readonly dir: string;
  readonly hosts: readonly string[];
  /** Of adtally's, or any other name on one machine. */
  readonly programs: readonly string[];
  readonly days: number;
  /** "force" makes all anew, "renew" new certificates of the authority that is there. */
  readonly over: "nothing" | "renew" | "force";
  readonly nowMs: number;
}

export interface Made {
  readonly path: string;
  readonly what: string;
  readonly notAfter: Date;
}

const DAY_MS = 86_400_000;
/** Clocks of several machines differ by less. */
const SKEW_MS = 5 * 60_000;

/** @throws CONFIG_INVALID */
export async function makeDevCa(request: DevCaRequest): Promise<readonly Made[]> {
  const { dir, hosts, programs, days, over, nowMs } = request;
  const at = (name: string) => path.join(dir, name);
  const names = [...(over === "renew" ? [] : ["ca"]), ...programs];
  if (over === "nothing") await assertNew(names.flatMap((name) => [at(`${name}.crt`), at(`${name}.key`)]));
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const notBefore = new Date(nowMs - SKEW_MS);
  const wanted = new Date(nowMs + days * DAY_MS);
  const made: Made[] = [];

  let authority: Authority;
  if (over === "renew") authority = await readOwn(at("ca.crt"), at("ca.key"), nowMs);
  else {
    authority = await createAuthority({ name: "adtally development CA", notBefore, notAfter: wanted });
    await write(at("ca.key"), authority.key);
    await write(at("ca.crt"), authority.certificate);
    made.push({ path: at("ca.crt"), what: "authority", notAfter: authority.notAfter });
  }
  const notAfter = wanted < authority.notAfter ? wanted : authority.notAfter;
  for (const program of programs) {
    const pem = await authority.issue({ program, hosts, notBefore, notAfter });
    await write(at(`${program}.key`), pem.key);
    await write(at(`${program}.crt`), pem.certificate);
    made.push({ path: at(`${program}.crt`), what: `${program} at ${hosts.join(", ")}`, notAfter });
  }
  return made;
}

async function assertNew(paths: readonly string[]): Promise<void> {
  for (const one of paths) {
    const isThere = await access(one).then(
      () => true,
      () => false,
    );
    if (!isThere) continue;
    throw new AdtallyError(
      "CONFIG_INVALID",
      `${one} is there already. --renew makes new certificates of the authority that is there; ` +
        "--force makes a new authority, and every program then needs its new files",
    );
  }
}

async function readOwn(certificatePath: string, keyPath: string, nowMs: number): Promise<Authority> {
  let authority: Authority;
  try {
    const [certificate, key] = await Promise.all([
      readFile(certificatePath, "utf8"),
      readFile(keyPath, "utf8"),
    ]);
    authority = await readAuthority({ certificate, key });
  } catch (error) {
    const detail = `--renew needs the authority in ${certificatePath} and ${keyPath}: ${messageOf(error)}`;
    throw new AdtallyError("CONFIG_INVALID", detail, { cause: error });
  }
  if (authority.notAfter.getTime() > nowMs) return authority;
  const detail = `the authority in ${certificatePath} expired at ${authority.notAfter.toISOString()}; make a new one with --force`;
  throw new AdtallyError("CONFIG_INVALID", detail);
}

/** Renamed into place, so that a program that reads it meanwhile never sees half of it. */
async function write(to: string, text: string): Promise<void> {
  const temporary = `${to}.new`;
  await writeFile(temporary, text, { mode: 0o600 });
  // The mode above holds for a new file only.
  await chmod(temporary, 0o600);
  await rename(temporary, to);
}
