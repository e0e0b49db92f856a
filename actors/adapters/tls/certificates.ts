/**
 * The certificates of one program, from files that may be replaced while it runs. Programs open
 * them once at start; servers and clients (grpc.ts, https.ts, clients.ts) take from them what
 * is current whenever a connection is made.
 *
 *  T1 Nothing is used that was not read whole and found good (material.ts). At start a bad file
 *     ends the program; later it is refused by name, and what was in use stays in use.
 *  T2 Files are looked at every `certificatePollMs` by inode, size and time: a file written over,
 *     a file renamed into place and a link set to another folder (Kubernetes) are all seen.
 *     While the newest files are bad they are read at each look, as one of them may come late.
 *  T3 Connections made before go on with what they were made with.
 */
import { stat } from "node:fs/promises";
import { AdtallyError, messageOf } from "../../core/errors.ts";
import { readMaterial } from "./material.ts";
import { uriOf } from "./names.ts";
import type { Limits } from "../../core/limits.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { AnyFiles, CertificateFiles, Material } from "./material.ts";
import type { Program } from "./names.ts";

export interface CertificatesDeps<F extends AnyFiles> {
  readonly files: F;
  /**
   * Who the own certificate must name, signed by an authority of the same files; without: anyone,
   * signed by whom else (for the public, and towards servers that are not ours).
   */
  readonly program?: Program;
  readonly limits: Pick<Limits, "certificatePollMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Certificates<F extends AnyFiles = CertificateFiles> {
  readonly files: F;
  readonly current: Material<F>;
  /** Why the newest files are not in use. */
  readonly fault: string | undefined;
  /** Calls back with each new material, not with the current one. */
  subscribe(onChange: (material: Material<F>) => void): () => void;
  /** Looks now; for tests, and for a signal. */
  reload(): Promise<void>;
  close(): void;
}

/** @throws CONFIG_INVALID */
export async function openCertificates<F extends AnyFiles>(
  deps: CertificatesDeps<F>,
): Promise<Certificates<F>> {
  const { files, clock, logger } = deps;
  const subscribers = new Set<(material: Material<F>) => void>();
  let fault: string | undefined;
  let seen = await lookOf(files);
  let current = await read();
  let reading: Promise<void> | undefined;

  async function read(): Promise<Material<F>> {
    const material = await readMaterial(files, clock.now(), deps.program !== undefined);
    if (deps.program !== undefined && !material.programs.includes(deps.program)) {
      const named = material.programs.map(uriOf).join(", ") || "no program";
      const detail = `${files.certPath}: it names ${named}, and this is ${uriOf(deps.program)}`;
      throw new AdtallyError("CONFIG_INVALID", detail);
    }
    return material;
  }

  async function look(): Promise<void> {
    const look = await lookOf(files);
    if (look === seen && fault === undefined) return;
    seen = look;
    try {
      const material = await read();
      fault = undefined;
      if (isSame(material, current)) return;
      current = material;
      const notAfter = new Date(material.notAfterMs).toISOString();
      logger.info({ ...files, notAfter }, "certificates renewed");
      for (const onChange of subscribers) onChange(material);
    } catch (error) {
      const why = messageOf(error);
      if (why !== fault) logger.error({ why }, "new certificates are refused; those before stay in use");
      fault = why;
    }
  }

  function reload(): Promise<void> {
    reading ??= look().finally(() => (reading = undefined));
    return reading;
  }

  const poll = clock.every(deps.limits.certificatePollMs, () => void reload());
  return {
    files,
    get current() {
      return current;
    },
    get fault() {
      return fault;
    },
    subscribe(onChange) {
      subscribers.add(onChange);
      return () => void subscribers.delete(onChange);
    },
    reload,
    close: () => poll.cancel(),
  };
}

/** What tells whether the files are still the same; never fails, as a file may be away for a moment. */
async function lookOf({ caPath, certPath, keyPath }: AnyFiles): Promise<string> {
  const looks = [caPath, certPath, keyPath].map(async (path) => {
    if (path === undefined) return "";
    const { ino, size, mtimeNs } = await stat(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs}`;
  });
  return (await Promise.allSettled(looks)).map((one) => (one.status === "fulfilled" ? one.value : "")).join();
}

function isSame(a: Material<AnyFiles>, b: Material<AnyFiles>): boolean {
  const same = (one: Buffer | undefined, other: Buffer | undefined) =>
    one === other || (one !== undefined && other !== undefined && one.equals(other));
  return same(a.ca, b.ca) && same(a.cert, b.cert) && same(a.key, b.key);
}
