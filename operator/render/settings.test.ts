/** That the programs take what they are told, and are told all that a ClickCluster says. */
import { describe, expect, it } from "vitest";
import { actorSpec } from "../../cmd/actor/config.ts";
import type { ProgramSpec } from "../../cmd/config/command-line.ts";
import { readInvocation } from "../../cmd/config/invocation.ts";
import type { Settings } from "../../cmd/config/setting.ts";
import { gatewaySpec } from "../../cmd/gateway/config.ts";
import { ingestSpec } from "../../cmd/ingest/config.ts";
import { querySpec } from "../../cmd/query/config.ts";
import type { ClickCluster } from "../api/click-cluster.ts";
import { COMPONENTS, type Component } from "../api/release.ts";
import { CASES, clusterOf } from "./cases.fixture.ts";
import { render } from "./render.ts";
import { bytesOf } from "./quantity.ts";

const PROGRAMS: Readonly<Record<Component, unknown>> = {
  actors: actorSpec,
  gateways: gatewaySpec,
  query: querySpec,
  ingest: ingestSpec,
};
/** Of what the least case does not say, as the programs have it. */
const SECRET = "what-is-in-the-file";

/** As Kubernetes hands arguments to a container. */
const expanded = (text: string): string =>
  text.replaceAll(/\$\$|\$\(POD_NAME\)/g, (each) => (each === "$$" ? "$" : "pod-0"));

function configOf(cluster: ClickCluster, component: Component): Record<string, unknown> {
  const [main = "", ...args] = render(cluster).workloads[component].spec.template.spec!.containers[0]!.args!;
  const program = PROGRAMS[component] as ProgramSpec<Settings>;
  expect(main).toBe(`cmd/${program.name}/main.ts`);
  const told = { argv: args.map(expanded), env: {}, version: "0", readFile: () => SECRET };
  const invocation = readInvocation(program, told);
  expect(invocation).toMatchObject({ kind: "run" });
  return (invocation as { config: Record<string, unknown> }).config;
}

describe.each(Object.entries(CASES))("of the ClickCluster %s", (_, { name, spec }) => {
  const cluster = clusterOf(name, spec);

  it.each(COMPONENTS)("%s take every flag, and say nothing against their values", (component) => {
    const config = configOf(cluster, component);
    expect(config).toMatchObject({
      host: "0.0.0.0",
      hostName: "pod-0",
      redisUrl: cluster.spec.redis.url,
      redisPrefix: cluster.spec.redis.prefix,
      kafkaBrokers: cluster.spec.redpanda.brokers,
      kafkaTopicPrefix: cluster.spec.redpanda.topicPrefix,
      ...cluster.spec.retention,
    });
  });

  it("query services answer reports over gRPC too, and sign shared links by the gateways' keys", () => {
    const { tokenKeysFile } = configOf(cluster, "gateways");
    expect(tokenKeysFile).toMatch(/^\/etc\/adtally\/secrets\//);
    expect(configOf(cluster, "query")).toMatchObject({ grpcPort: 9090, shareKeysFile: tokenKeysFile });
  });

  it("actor hosts are told of the topics, gateways of their URL", () => {
    const { gateways, redpanda, shards } = cluster.spec;
    expect(configOf(cluster, "actors")).toMatchObject({
      kafkaPartitions: shards.max,
      kafkaExtendTopics: true,
      kafkaReplication: redpanda.replication,
      kafkaMinInsync: redpanda.minInsync,
    });
    expect(configOf(cluster, "gateways")).toMatchObject({
      kafkaReplication: redpanda.replication,
      kafkaMinInsync: redpanda.minInsync,
      publicUrl: gateways.publicUrl,
    });
  });
});

describe("of a ClickCluster with every Secret", () => {
  const { name, spec } = CASES["secured"]!;
  const cluster = clusterOf(name, spec);

  it.each(COMPONENTS)("%s read their passwords from files, and speak TLS with all", (component) => {
    const config = configOf(cluster, component);
    const secrets = Object.entries(config).filter(([, value]) => value === SECRET);
    const passwords = ["kafkaPassword", "redisPassword"];
    if (component !== "gateways") passwords.push("clickhousePassword");
    if (component === "gateways" || component === "query") passwords.push("adminKey");
    expect(secrets.map(([setting]) => setting).sort()).toEqual(passwords.sort());
    expect(config).toMatchObject({ kafkaTls: true, kafkaUser: "adtally", kafkaSasl: "scram-sha-256" });
    const pairs = ["kafkaTls", "redisTls", ...(component === "gateways" ? [] : ["clickhouseTls"])];
    if (component !== "ingest") pairs.push("tls");
    for (const prefix of pairs)
      for (const end of ["Ca", "Cert", "Key"])
        expect(config[prefix + end]).toMatch(/^\/etc\/adtally\/secrets\//);
  });
});

describe("a quantity", () => {
  it.each<[string | number, number]>([
    ["1Gi", 2 ** 30],
    ["1.5k", 1_500],
    [7, 7],
    ["500m", 0.5],
    ["2T", 2e12],
  ])("%s is %d bytes", (quantity, bytes) => expect(bytesOf(quantity)).toBe(bytes));
});
