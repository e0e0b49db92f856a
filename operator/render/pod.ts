/**
 * A pod of one of the programs, as Pod Security 'restricted' wants it: nobody in particular, on a file
 * system that it cannot write but for its own data, with no token of the API server's.
 */
import type {
  V1ContainerPort,
  V1PodTemplateSpec,
  V1Probe,
  V1TopologySpreadConstraint,
  V1Volume,
} from "@kubernetes/client-node";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import type { ClickCluster, ClickClusterSpec } from "../api/click-cluster.ts";
import { releaseOf, type Component } from "../api/release.ts";
import { accountName, labelsOf, RELEASE_LABEL, selectorOf, stateName } from "./manifest.ts";
import { projectionsOf, secretFiles, SECRETS_DIR } from "./secret-files.ts";
import { argumentsOf, DATA_DIR, DRAIN_NOTICE_MS, POD_NAME, PORTS, STATE_DIR } from "./settings.ts";

/** As the image has it (Dockerfile). */
const USER = 10_001;
/** Read by that user's group, which all that is mounted belongs to. */
const GROUP_READS = 0o440;
/** After a program's own deadline, for what the container runtime takes. */
const END_MARGIN_MS = 10_000;
export const DATA_VOLUME = "data";

interface Program {
  readonly main: string;
  readonly ports: V1ContainerPort[];
  /** Where it tells its health. */
  readonly healthPort: string;
  readonly drainNoticeMs: number;
}

const port = (name: string, containerPort: number): V1ContainerPort => ({ name, containerPort });

const PROGRAMS: Readonly<Record<Component, Program>> = {
  actors: {
    main: "cmd/actor/main.ts",
    ports: [port("shards", PORTS.shards), port("admin", PORTS.admin)],
    healthPort: "admin",
    drainNoticeMs: 0,
  },
  gateways: {
    main: "cmd/gateway/main.ts",
    ports: [port("http", PORTS.http), port("grpc", PORTS.grpc), port("internal", PORTS.internal)],
    healthPort: "http",
    drainNoticeMs: DRAIN_NOTICE_MS,
  },
  query: {
    main: "cmd/query/main.ts",
    ports: [port("http", PORTS.http), port("grpc", PORTS.grpc)],
    healthPort: "http",
    drainNoticeMs: DRAIN_NOTICE_MS,
  },
  ingest: {
    main: "cmd/ingest/main.ts",
    ports: [port("admin", PORTS.admin)],
    healthPort: "admin",
    drainNoticeMs: 0,
  },
};

type Resources = ClickClusterSpec["query"]["resources"];

/** `data`: on a volume that is claimed beside the template, or on one that goes with the pod. */
export function podTemplate(
  { metadata: { name: cluster }, spec }: ClickCluster,
  component: Component,
  data: "claimed" | "passing",
): V1PodTemplateSpec {
  const { main, ports, drainNoticeMs } = PROGRAMS[component];
  const { resources } = spec[component];
  const projections = projectionsOf(secretFiles(spec, component));
  const volumes: V1Volume[] = [
    // Pods start without: the actor hosts must be there before anything can be assigned to them.
    { name: "state", configMap: { name: stateName(cluster), optional: true, defaultMode: GROUP_READS } },
  ];
  if (projections.length > 0)
    volumes.push({ name: "secrets", projected: { sources: projections, defaultMode: GROUP_READS } });
  if (data === "passing") volumes.push({ name: DATA_VOLUME, emptyDir: {} });
  const mounts: Readonly<Record<string, string>> = { state: STATE_DIR, secrets: SECRETS_DIR };
  return {
    metadata: {
      labels: { ...labelsOf(cluster, component), [RELEASE_LABEL]: releaseOf(spec, component) },
    },
    spec: {
      serviceAccountName: accountName(cluster),
      automountServiceAccountToken: false,
      // A Service named like the cluster would else be set as ADTALLY_…_PORT, and taken for a setting.
      enableServiceLinks: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: USER,
        runAsGroup: USER,
        fsGroup: USER,
        fsGroupChangePolicy: "OnRootMismatch",
        seccompProfile: { type: "RuntimeDefault" },
      },
      terminationGracePeriodSeconds: graceSeconds(drainNoticeMs),
      topologySpreadConstraints: spread(cluster, component),
      containers: [
        {
          name: component,
          image: spec.image,
          imagePullPolicy: spec.imagePullPolicy,
          command: ["node"],
          args: [main, ...argumentsOf(spec, component)],
          env: [{ name: POD_NAME, valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
          ports,
          ...(resources !== undefined && { resources: quantitiesOf(resources) }),
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            runAsNonRoot: true,
            capabilities: { drop: ["ALL"] },
            seccompProfile: { type: "RuntimeDefault" },
          },
          volumeMounts: [
            ...volumes
              .filter(({ name }) => name !== DATA_VOLUME)
              .map(({ name }) => ({ name, mountPath: mounts[name]!, readOnly: true })),
            { name: DATA_VOLUME, mountPath: DATA_DIR },
          ],
          ...probesOf(component),
        },
      ],
      volumes,
    },
  };
}

const graceSeconds = (drainNoticeMs: number): number =>
  Math.ceil((drainNoticeMs + DEFAULT_LIMITS.drainDeadlineMs + END_MARGIN_MS) / 1_000);

/**
 * Up, alive, ready. An actor host is up once it can be given shards, long before it is ready, which is when
 * it has some. What a program waits for at its start (Kafka) may be away for long, and being started again
 * brings it no nearer: that takes an hour. One that answers nothing for a minute is started again.
 *
 * By HTTP, not by gRPC's health: the kubelet speaks no TLS to gRPC, and shows no certificate.
 */
function probesOf(component: Component): {
  startupProbe: V1Probe;
  livenessProbe: V1Probe;
  readinessProbe: V1Probe;
} {
  const get = (path: string): V1Probe => ({
    httpGet: { path, port: PROGRAMS[component].healthPort },
    timeoutSeconds: 5,
  });
  return {
    startupProbe: { ...get("/startupz"), periodSeconds: 1, failureThreshold: 3_600 },
    livenessProbe: { ...get("/healthz"), periodSeconds: 10, failureThreshold: 6 },
    readinessProbe: { ...get("/readyz"), periodSeconds: 2, failureThreshold: 2 },
  };
}

/** Over nodes and zones as evenly as can be; but a pod somewhere is better than none. */
const spread = (cluster: string, component: Component): V1TopologySpreadConstraint[] =>
  ["topology.kubernetes.io/zone", "kubernetes.io/hostname"].map((topologyKey) => ({
    maxSkew: 1,
    topologyKey,
    whenUnsatisfiable: "ScheduleAnyway",
    labelSelector: { matchLabels: selectorOf(cluster, component) },
  }));

type Quantities = Readonly<Record<string, string | number>>;

function quantitiesOf({ requests, limits }: NonNullable<Resources>): {
  requests?: Record<string, string>;
  limits?: Record<string, string>;
} {
  const texts = (all: Quantities) =>
    Object.fromEntries(Object.entries(all).map(([name, each]) => [name, String(each)]));
  return {
    ...(requests !== undefined && { requests: texts(requests) }),
    ...(limits !== undefined && { limits: texts(limits) }),
  };
}
