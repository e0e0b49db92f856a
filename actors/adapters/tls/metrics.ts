/** What alarms need: how long the certificates in use are still valid, and whether newer ones were refused. */
import type { Clock } from "../../runtime/clock.ts";
import type { Metrics } from "../../runtime/metrics.ts";
import type { Certificates } from "./certificates.ts";
import type { AnyFiles } from "./material.ts";

/** Each set of a program's certificate files, by what it is for. */
export type CertificateSets = ReadonlyMap<string, Certificates<AnyFiles>>;

/** Once a program, with all its sets: a series of a set that is not in use would be a false alarm. */
export function observeCertificates(metrics: Metrics, clock: Clock, sets: CertificateSets): void {
  if (sets.size === 0) return;
  const labels = { of: [...sets.keys()] };
  const expiry = metrics.gauge({
    name: "adtally_certificate_expiry_seconds",
    help: "Until the first certificate of the files in use, or its authority, expires; below 0 once it has.",
    labels,
  });
  const refused = metrics.gauge({
    name: "adtally_certificate_files_refused",
    help: "1 while the newest certificate files are bad and older ones stay in use; the log says why.",
    labels,
  });
  metrics.beforeScrape(() => {
    for (const [of, { current, fault }] of sets) {
      expiry.of({ of }).set((current.notAfterMs - clock.now()) / 1_000);
      refused.of({ of }).set(fault === undefined ? 0 : 1);
    }
  });
}
