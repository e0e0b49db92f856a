/** What alarms need: until when the certificate in use is valid, and whether a newer one was refused. */
import type { Metrics } from "../../runtime/metrics.ts";
import type { Certificates } from "./certificates.ts";

export function observeCertificates(metrics: Metrics, certificates: Certificates): void {
  const gauge = (name: string, help: string) => metrics.gauge({ name, help, labels: {} }).of({});
  const notAfter = gauge(
    "adtally_certificate_not_after_timestamp_seconds",
    "When the first certificate in use, or its authority, expires.",
  );
  const refused = gauge(
    "adtally_certificate_files_refused",
    "1 while the newest certificate files are bad and older ones stay in use; the log says why.",
  );
  metrics.beforeScrape(() => {
    notAfter.set(certificates.current.notAfterMs / 1_000);
    refused.set(certificates.fault === undefined ? 0 : 1);
  });
}
