/**
 * The data plane as it is: actor hosts and gateways over gRPC, backends by a knock at their doors, the
 * fast copy in Redis.
 *
 *  P1 Pods' addresses are used again: a report counts only if it names the host that was asked.
 *  P2 No answer within the deadline is none; the next round asks again.
 */
import type { ReportClient } from "../../actors/adapters/grpc/report-client.ts";
import { AdtallyError } from "../../actors/core/errors.ts";
import type { HostReport } from "../../actors/load/report.ts";
import type { ClickCluster } from "../api/click-cluster.ts";
import { UNKNOWN, type Seen } from "../plan/world.ts";
import type { DataPlane } from "../observe/data-plane.ts";
import { answersPing, anyAccepts } from "./knock.ts";
import type { RedisCopies } from "./redis-copies.ts";

export interface DataPlaneDeps {
  /** In plain text; and with the operator's certificate, where it has one. */
  readonly reports: { readonly plain: ReportClient; readonly secure: ReportClient | undefined };
  readonly copies: RedisCopies;
  readonly deadlineMs: number;
}

export function createDataPlane({ reports, copies, deadlineMs }: DataPlaneDeps): DataPlane {
  function reportsOf({ spec }: ClickCluster): ReportClient {
    if (spec.tls === undefined) return reports.plain;
    if (reports.secure !== undefined) return reports.secure;
    throw new AdtallyError(
      "CONFIG_INVALID",
      "the ClickCluster has spec.tls, and the operator no certificate: give it --tls-ca, --tls-cert and --tls-key",
    );
  }

  return {
    async hostReport(cluster, name, address): Promise<HostReport> {
      const status = await reportsOf(cluster).host(address, deadlineMs);
      if (status.host === name) return status;
      throw new AdtallyError("ABORTED", `${address} is ${status.host}, and no longer ${name}`);
    },

    async spooledClicks(cluster, address) {
      return (await reportsOf(cluster).gateway(address, deadlineMs)).spoolClicks;
    },

    async backends(cluster) {
      const { clickhouse, redpanda } = cluster.spec;
      const isMutual = clickhouse.tls?.clientSecretName !== undefined;
      const [kafka, click, redis] = await Promise.all([
        anyAccepts(redpanda.brokers, deadlineMs),
        // Without a client certificate it would not let us in as far as an answer.
        isMutual
          ? anyAccepts([addressOf(clickhouse.url)], deadlineMs)
          : answersPing(clickhouse.url, deadlineMs),
        copies.isReachable(cluster).catch((): Seen<boolean> => UNKNOWN),
      ]);
      return { redpanda: kafka, clickhouse: click, redis };
    },

    copy: (cluster, texts) => copies.offer(cluster, texts),
    forget: (namespace, name) => copies.forget(namespace, name),
    async close() {
      reports.plain.close();
      reports.secure?.close();
      await copies.close();
    },
  };
}

function addressOf(url: string): string {
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port === "" ? (protocol === "https:" ? 443 : 80) : port}`;
}
