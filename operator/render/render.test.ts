/** What holds of every rendering, whatever the ClickCluster; and goldens of some. */
import { readFileSync } from "node:fs";
import type { V1Container, V1PodSpec, V1PodTemplateSpec } from "@kubernetes/client-node";
import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../actors/core/limits.ts";
import { describeImage } from "../../scripts/dockerfile.ts";
import { COMPONENTS, releaseOf, type Component } from "../api/release.ts";
import { CASES, clusterOf, leastWith, manifestsOf, yamlOf } from "./cases.fixture.ts";
import { CLUSTER_LABEL, COMPONENT_LABEL, DIGEST_ANNOTATION, RELEASE_LABEL, stateName } from "./manifest.ts";
import { render } from "./render.ts";
import { SECRETS_DIR } from "./secret-files.ts";
import { DATA_DIR, DRAIN_NOTICE_MS, STATE_DIR } from "./settings.ts";

const cases = Object.entries(CASES).map(([of, { name, spec }]) => [of, clusterOf(name, spec)] as const);
const image = describeImage(readFileSync(new URL("../../Dockerfile", import.meta.url), "utf8"));

/** Each pod of each case, with what of it is asked most. */
const pods = cases.flatMap(([of, cluster]) =>
  COMPONENTS.map((component) => {
    const { template } = render(cluster).workloads[component].spec;
    const spec = template.spec as V1PodSpec;
    return [
      `${of}: ${component}`,
      { cluster, component, template, spec, container: spec.containers[0]! },
    ] as const;
  }),
);

describe.each(cases)("the rendering of a ClickCluster, %s,", (of, cluster) => {
  it("is as it was written down: vitest -u", async () => {
    await expect(yamlOf(manifestsOf(cluster))).toMatchFileSnapshot(`golden/${of}.yaml`);
  });

  it("R1: is the same once more", () => {
    expect(yamlOf(manifestsOf(cluster))).toBe(yamlOf(manifestsOf(structuredClone(cluster))));
  });

  it("is plain JSON", () => {
    for (const each of manifestsOf(cluster)) expect(JSON.parse(JSON.stringify(each))).toEqual(each);
  });

  it("R2: says of no workload how many pods it has", () => {
    for (const component of COMPONENTS)
      expect(render(cluster).workloads[component].spec).not.toHaveProperty("replicas");
  });

  it("R3: has no object that is not the ClickCluster's own, actor hosts' volumes included", () => {
    const { name, uid } = cluster.metadata;
    const owner = { kind: "ClickCluster", name, uid, controller: true, blockOwnerDeletion: true };
    for (const { metadata } of manifestsOf(cluster)) {
      expect(metadata.ownerReferences).toEqual([{ apiVersion: "adtally.dev/v1alpha1", ...owner }]);
      expect(metadata.labels[CLUSTER_LABEL]).toBe(name);
    }
    const { actors, gateways } = render(cluster).workloads;
    expect(actors.spec.persistentVolumeClaimRetentionPolicy?.whenDeleted).toBe("Delete");
    // Clicks may be spooled there.
    expect(gateways.spec.persistentVolumeClaimRetentionPolicy?.whenDeleted).toBe("Retain");
  });

  it("R4: leaves the state to the operator, whose pods mount it", () => {
    expect([...render(cluster).objects.keys()].filter((key) => /ConfigMap|Secret/.test(key))).toEqual([]);
  });

  it("names what Kubernetes takes: 63 letters at the most, also of pods and revisions", () => {
    const { objects, workloads } = render(cluster);
    for (const { metadata } of objects.values())
      expect(metadata.name).toMatch(/^[a-z][-a-z0-9]{0,61}[a-z0-9]$/);
    for (const component of COMPONENTS) {
      const { metadata } = workloads[component];
      // The label of a revision is its StatefulSet's name and a hash of ten.
      expect(metadata.name.length).toBeLessThanOrEqual(63 - 11);
      for (const value of Object.values(metadata.labels)) expect(value.length).toBeLessThanOrEqual(63);
    }
  });

  it("tells each object's digest, which its annotation has too", () => {
    const { digests, objects } = render(cluster);
    expect([...digests.keys()]).toEqual([...objects.keys()]);
    for (const [key, { kind, metadata }] of objects) {
      expect(key).toBe(`${kind}/${metadata.name}`);
      expect(metadata.annotations[DIGEST_ANNOTATION]).toBe(digests.get(key));
      expect(digests.get(key)).toMatch(/^[0-9a-f]{10}$/);
    }
  });
});

describe.each(pods)("a pod of %s", (_, { cluster, component, template, spec, container }) => {
  it("runs restricted, as the image's own user", () => {
    const [user, group] = image.user.split(":").map(Number);
    expect(spec.containers).toHaveLength(1);
    expect(spec.initContainers).toBeUndefined();
    expect(spec).not.toHaveProperty("hostNetwork");
    expect(spec.securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: user,
      runAsGroup: group,
      fsGroup: group,
      seccompProfile: { type: "RuntimeDefault" },
    });
    expect(container.securityContext).toMatchObject({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
  });

  it("has no token of the API server's, and no variables of Services, which would pass for settings", () => {
    expect(spec.automountServiceAccountToken).toBe(false);
    expect(spec.enableServiceLinks).toBe(false);
    expect(container.env?.map(({ name }) => name)).toEqual(["POD_NAME"]);
  });

  it("mounts what it has, each once, and all but its data for reading alone", () => {
    const mounts = container.volumeMounts ?? [];
    const workload = render(cluster).workloads[component];
    const claims =
      workload.kind === "StatefulSet"
        ? workload.spec.volumeClaimTemplates!.map((each) => each.metadata!.name!)
        : [];
    const volumes = [...spec.volumes!.map(({ name }) => name), ...claims];
    expect(mounts.map(({ name }) => name).sort()).toEqual(volumes.sort());
    for (const { mountPath, readOnly } of mounts) expect(readOnly === true).toBe(mountPath !== DATA_DIR);
    expect(mounts.map(({ mountPath }) => mountPath)).toContain(STATE_DIR);
    expect(spec.volumes).toContainEqual(
      expect.objectContaining({
        configMap: expect.objectContaining({ name: stateName(cluster.metadata.name) }) as object,
      }),
    );
  });

  it("finds in its volumes each file of a Secret that it is told of", () => {
    const projected = spec.volumes!.flatMap((each) => each.projected?.sources ?? []);
    const there = projected.flatMap(({ secret }) =>
      secret!.items!.map(({ path }) => `${SECRETS_DIR}/${path}`),
    );
    const told = container.args!.flatMap((each) =>
      each.split("=").filter((part) => part.startsWith(SECRETS_DIR)),
    );
    expect(told.sort()).toEqual(there.sort());
    expect(new Set(there).size).toBe(there.length);
  });

  it("is found by its workload, and carries the release", () => {
    const workload = render(cluster).workloads[component];
    const labels = template.metadata!.labels!;
    expect(labels).toMatchObject(workload.spec.selector.matchLabels!);
    expect(labels[RELEASE_LABEL]).toBe(releaseOf(cluster.spec, component));
    expect(labels[COMPONENT_LABEL]).toBe(component);
    expect(workload.metadata.labels[RELEASE_LABEL]).toBe(labels[RELEASE_LABEL]);
    expect(workload.spec.selector.matchLabels).not.toHaveProperty([RELEASE_LABEL]);
  });

  it("is left the time to end in good order", () => {
    const drain = DEFAULT_LIMITS.drainDeadlineMs + (component === "gateways" ? DRAIN_NOTICE_MS : 0);
    expect(spec.terminationGracePeriodSeconds! * 1_000).toBeGreaterThan(drain);
  });

  it("is asked for its health at a port that it has", () => {
    const { livenessProbe, readinessProbe, startupProbe } = container;
    const named = container.ports!.map(({ name }) => name);
    for (const probe of [livenessProbe, readinessProbe, startupProbe])
      expect(named).toContain(probe?.httpGet?.port);
  });
});

describe("the rendering", () => {
  const of = (change: object) => render(leastWith(change));
  const podsOf = (change: object) =>
    JSON.stringify(COMPONENTS.map((component) => templateOf(of(change).workloads[component])));
  const templateOf = ({ spec }: { readonly spec: { readonly template: V1PodTemplateSpec } }) => spec.template;

  it.each<[string, object]>([
    ["more actor hosts", { actors: { replicas: 3 } }],
    ["other bounds", { gateways: { min: 1, max: 9 } }],
    [
      "another policy",
      { hotAds: { mode: "Off" }, autoscaling: { mode: "Auto" }, paused: true, drainSeconds: 1 },
    ],
    ["more shards at the start", { shards: { min: 32 } }],
  ])("N3 of release.ts: leaves pods as they are for %s", (_, change) =>
    expect(podsOf(change)).toBe(podsOf({})),
  );

  const parts = Object.entries(CASES).flatMap(([name, { spec }]) =>
    Object.entries(spec).map(
      ([field, value]) => [`${field} of ${name}`, { [field]: value as unknown }] as const,
    ),
  );
  it.each(parts)("tells pods nothing that their release does not name: %s", (_, change) => {
    const [before, after] = [leastWith({}), leastWith(change)];
    const textOf = (cluster: typeof before, component: Component) =>
      JSON.stringify(templateOf(render(cluster).workloads[component])).replaceAll(
        releaseOf(cluster.spec, component),
        "",
      );
    for (const component of COMPONENTS) {
      const isSame = releaseOf(before.spec, component) === releaseOf(after.spec, component);
      if (isSame) expect(textOf(after, component)).toBe(textOf(before, component));
    }
  });

  it("has an autoscaler where the gateways' number is not given, by a core where no CPU is requested", () => {
    const key = "HorizontalPodAutoscaler/clicks-gateways";
    expect([...of({}).objects.keys()]).not.toContain(key);
    const targetOf = (gateways: object) =>
      JSON.stringify(of({ gateways: { max: 4, ...gateways } }).objects.get(key));
    expect(targetOf({})).toContain('"averageValue":"700m"');
    expect(targetOf({ resources: { limits: { cpu: "1" } } })).toContain('"averageUtilization":70');
  });

  it("gives the secrets of the registry to the pods' account, and restarts no pod for them", () => {
    const imagePullSecrets = [{ name: "registry" }];
    const accountOf = (change: object) => of(change).objects.get("ServiceAccount/clicks-data-plane");
    expect(accountOf({ imagePullSecrets })).toMatchObject({ imagePullSecrets });
    expect(accountOf({ imagePullSecrets: [] })).not.toHaveProperty("imagePullSecrets");
    expect(podsOf({ imagePullSecrets })).toBe(podsOf({}));
  });

  it("keeps a quarter of a gateway's volume free of its spool", () => {
    const argumentsOf = (size: string | number) =>
      of({ gateways: { spool: { size } } }).workloads.gateways.spec.template.spec!.containers[0]!.args;
    expect(argumentsOf("4Gi")).toContain("--spool-max-mib=3072");
    expect(argumentsOf("1G")).toContain("--spool-max-mib=715");
    expect(argumentsOf(2 ** 30)).toContain("--spool-max-mib=768");
    expect(argumentsOf("10Mi")).toContain("--spool-max-mib=64");
  });

  it("tells of what is changed by digests alone of what changed", () => {
    const before = of({}).digests;
    const changed = [...of({ clickhouse: { url: "http://clickhouse:9999" } }).digests].filter(
      ([key, digest]) => before.get(key) !== digest,
    );
    expect(changed.map(([key]) => key)).toEqual([
      "NetworkPolicy/clicks-actors",
      "NetworkPolicy/clicks-query",
      "NetworkPolicy/clicks-ingest",
    ]);
  });
});

interface Policy {
  readonly spec: {
    readonly ingress?: readonly {
      readonly from?: readonly object[];
      readonly ports: readonly { port: number }[];
    }[];
    readonly egress?: readonly {
      readonly to?: readonly object[];
      readonly ports: readonly { port: number }[];
    }[];
  };
}

describe("the network policies", () => {
  const { objects, workloads } = render(leastWith({}));
  const policyOf = (name: string) => objects.get(`NetworkPolicy/clicks-${name}`) as unknown as Policy;
  const containerOf = (component: (typeof COMPONENTS)[number]): V1Container =>
    workloads[component].spec.template.spec!.containers[0]!;

  it("deny all that is not said", () => {
    expect(policyOf("data-plane").spec).toEqual({
      podSelector: { matchLabels: { [CLUSTER_LABEL]: "clicks" } },
      policyTypes: ["Ingress", "Egress"],
    });
  });

  it("let in to ports that the pod has, and to each of them", () => {
    for (const component of COMPONENTS) {
      const open = policyOf(component).spec.ingress!.flatMap(({ ports }) => ports.map(({ port }) => port));
      expect(open.sort()).toEqual(
        containerOf(component)
          .ports!.map((each) => each.containerPort)
          .sort(),
      );
    }
  });

  it("let everybody to what is for everybody, and nobody else to a shard", () => {
    const toAll = COMPONENTS.flatMap((component) =>
      policyOf(component)
        .spec.ingress!.filter(({ from }) => from === undefined)
        .flatMap(({ ports }) => ports),
    );
    expect(toAll.map(({ port }) => port)).toEqual([8080, 9090, 8080, 9090]);
    const [shards] = policyOf("actors").spec.ingress!;
    expect(JSON.stringify(shards!.from)).toMatch(/gateways.*query.*operator/);
  });

  it("let out to the name service, to the backends where they are named, and nowhere else", () => {
    const out = (component: string) =>
      policyOf(component).spec.egress!.flatMap(({ ports }) => ports.map(({ port }) => port));
    expect(out("actors")).toEqual([53, 53, 9092, 8123, 6379]);
    expect(out("gateways")).toEqual([53, 53, 9092, 6379, 7070]);
    expect(out("ingest")).toEqual([53, 53, 9092, 8123, 6379]);
    const { name, spec } = CASES["secured"]!;
    const egress = render(clusterOf(name, spec)).objects.get(
      "NetworkPolicy/secured-query",
    ) as unknown as Policy;
    expect(egress.spec.egress!.flatMap(({ ports }) => ports.map(({ port }) => port))).toEqual([
      53, 53, 19_093, 29_093, 443, 6379, 7070,
    ]);
  });
});
