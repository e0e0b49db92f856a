/** The operator as a program: its way to the API server, to Redis, and to actor hosts and gateways. */
import { readFileSync } from "node:fs";
import { KubeConfig } from "@kubernetes/client-node";
import { createReportClient } from "../../actors/adapters/grpc/report-client.ts";
import { grpcClientCredentials } from "../../actors/adapters/tls/grpc.ts";
import { AdtallyError, messageOf } from "../../actors/core/errors.ts";
import { createKubeClient } from "../../operator/kube/client.ts";
import { createOperatorMetrics } from "../../operator/metrics.ts";
import { assertSeen, startOperator } from "../../operator/operator.ts";
import { createDataPlane } from "../../operator/reach/data-plane.ts";
import { createRedisCopies } from "../../operator/reach/redis-copies.ts";
import { redisPlaceOf } from "../../operator/reach/secrets.ts";
import { openProgramCertificates } from "../lib/certificates.ts";
import type { Program } from "../lib/program.ts";
import { serveAdmin } from "../lib/serve.ts";
import type { OperatorConfig } from "./config.ts";

/** Of one request to the API server: well within the margin that a Lease leaves. */
const REQUEST_SHARE = 0.2;
const REQUEST_MAX_MS = 10_000;
/** Of one question to a host, a gateway or a backend. */
const QUESTION_MS = 1_500;
const WATCH_SECONDS = 20;
const NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

export async function startOperatorProgram(
  program: Program<OperatorConfig>,
): Promise<Record<string, number>> {
  const { clock, config, life, limits, logger, metrics, random, version } = program;
  const adminPort = await serveAdmin(program);
  const { programs: certificates } = await openProgramCertificates(program, "operator");
  const counted = createOperatorMetrics(metrics);
  const client = createKubeClient({
    config: kubeConfigOf(config.kubeconfig),
    deadlineMs: Math.min(REQUEST_MAX_MS, config.leaseMs * REQUEST_SHARE),
    userAgent: `adtally-operator/${version}`,
    clock,
    onAnswer: counted.answer,
  });
  life.onStop("the API server", () => client.close());
  const reportsBy = { limits, clock };
  const dataPlane = createDataPlane({
    reports: {
      plain: createReportClient(reportsBy),
      secure:
        certificates &&
        createReportClient({
          ...reportsBy,
          credentials: {
            actor: grpcClientCredentials(certificates, ["actor"]),
            gateway: grpcClientCredentials(certificates, ["gateway"]),
          },
        }),
    },
    copies: createRedisCopies({
      placeOf: (cluster) => redisPlaceOf(client, cluster),
      limits,
      clock,
      logger,
      onCopy: counted.copy,
    }),
    deadlineMs: QUESTION_MS,
  });
  const operator = startOperator({
    client,
    dataPlane,
    options: {
      watchNamespace: config.watchNamespace,
      leaseNamespace: config.leaseNamespace ?? ownNamespace(),
      leaseName: config.leaseName,
      leaseMs: config.leaseMs,
      roundMs: config.roundMs,
      relistMs: config.relistMs,
      watchSeconds: WATCH_SECONDS,
      // A process that comes back under its name is another one.
      identity: `${config.hostName}_${random(6).toString("hex")}`,
    },
    clock,
    random,
    logger,
    metrics: { ...counted, beforeScrape: metrics.beforeScrape },
  });
  life.onStop("the operator", () => operator.stop());
  await life.waitFor("the API server", async () => assertSeen(operator));
  life.check(() => operator.stale().map((kind) => `nothing current is known of ${kind}`));
  return { adminPort };
}

/** @throws CONFIG_INVALID */
function kubeConfigOf(path: string | undefined): KubeConfig {
  const config = new KubeConfig();
  try {
    if (path !== undefined) config.loadFromFile(path);
    else if (process.env["KUBERNETES_SERVICE_HOST"] !== undefined) config.loadFromCluster();
    else throw new Error("this is no pod: give --kubeconfig");
  } catch (error) {
    throw new AdtallyError("CONFIG_INVALID", `the API server: ${messageOf(error)}`, { cause: error });
  }
  return config;
}

function ownNamespace(): string {
  try {
    return readFileSync(NAMESPACE_FILE, "utf8").trim();
  } catch {
    throw new AdtallyError("CONFIG_INVALID", "this is no pod: give --lease-namespace");
  }
}
