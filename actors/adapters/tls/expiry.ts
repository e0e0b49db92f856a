/**
 * Says in the log, ahead of time, that certificates in use will expire, and that they have. Each
 * set of files is told again every `certificateWarnIntervalMs`, until its files are renewed.
 */
import type { Limits } from "../../core/limits.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { AnyFiles, Material } from "./material.ts";
import type { CertificateSets } from "./metrics.ts";

/** Of a certificate's life: those that live for hours are renewed at two thirds. */
const LAST_PART = 1 / 3;
const DAY_MS = 86_400_000;

export interface ExpiryDeps {
  readonly sets: CertificateSets;
  readonly limits: Pick<Limits, "certificatePollMs" | "certificateWarnMs" | "certificateWarnIntervalMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function watchExpiry({ sets, limits, clock, logger }: ExpiryDeps): { close(): void } {
  const told = new Map<string, { readonly material: Material<AnyFiles>; readonly atMs: number }>();

  function look(): void {
    for (const [of, { current, files }] of sets) {
      const leftMs = current.notAfterMs - clock.now();
      if (leftMs > Math.min(limits.certificateWarnMs, current.lifetimeMs * LAST_PART)) continue;
      const before = told.get(of);
      const isTold = before?.material === current;
      if (isTold && clock.monotonic() - before.atMs < limits.certificateWarnIntervalMs) continue;
      told.set(of, { material: current, atMs: clock.monotonic() });
      const notAfter = new Date(current.notAfterMs).toISOString();
      const what = { certificates: of, ...files, notAfter, daysLeft: Math.floor(leftMs / DAY_MS) };
      if (leftMs > 0)
        logger.warn(what, "certificates expire soon: renew the files, they are taken up at once");
      else
        logger.error(what, "certificates have expired: connections are refused until the files are renewed");
    }
  }

  look();
  const timer = clock.every(limits.certificatePollMs, look);
  return { close: () => timer.cancel() };
}
