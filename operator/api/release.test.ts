import { describe, expect, it } from "vitest";
import { parseClickClusterSpec } from "./click-cluster.ts";
import { COMPONENTS, releaseOf } from "./release.ts";

const least = {
  image: "adtally:1",
  tokenKeys: { name: "keys" },
  redpanda: { brokers: ["redpanda:9092"] },
  clickhouse: { url: "http://clickhouse:8123" },
  redis: { url: "redis://redis:6379" },
};
const releases = (change: object) => {
  const spec = parseClickClusterSpec({ ...least, ...change });
  return COMPONENTS.map((component) => releaseOf(spec, component));
};

describe("the release of a component", () => {
  it("keeps its golden names: another name restarts every pod of every cluster", () => {
    expect(releases({})).toMatchInlineSnapshot(`
      [
        "a552d4c51e",
        "a552d4c51e",
        "a552d4c51e",
        "a552d4c51e",
      ]
    `);
  });

  it("tells TLS by the system's authorities from no TLS", () => {
    const { redpanda } = least;
    expect(releases({ redpanda: { ...redpanda, tls: {} } })).not.toEqual(releases({}));
  });

  it("N1 N2: leaves out what is as defaulted, so a version that knows more fields restarts nothing", () => {
    const spec = parseClickClusterSpec(least);
    const newer = { ...spec, retention: { ...spec.retention, novelty: undefined } };
    expect(releaseOf(newer, "actors")).toBe(releaseOf(spec, "actors"));
  });

  it.each<[string, object]>([
    ["more replicas", { actors: { replicas: 3 } }],
    ["other bounds", { gateways: { max: 9 }, actors: { max: 10 } }],
    [
      "another policy",
      { hotAds: { mode: "Off" }, autoscaling: { mode: "Auto" }, paused: true, drainSeconds: 1 },
    ],
    ["more shards at the start", { shards: { min: 32 } }],
    ["other secrets of the registry", { imagePullSecrets: [{ name: "registry" }] }],
  ])("N3: is the same for %s", (_, change) => expect(releases(change)).toEqual(releases({})));

  it.each<[string, object, readonly boolean[]]>([
    ["image", { image: "adtally:2" }, [true, true, true, true]],
    ["broker", { redpanda: { brokers: ["other:9092"] } }, [true, true, true, true]],
    ["TLS", { tls: { secretName: "tls" } }, [true, true, true, true]],
    [
      "memory of actor hosts",
      { actors: { resources: { limits: { memory: "2Gi" } } } },
      [true, false, false, false],
    ],
    ["spool", { gateways: { spool: { size: "8Gi" } } }, [false, true, false, false]],
    [
      "CPU of query services",
      { query: { resources: { requests: { cpu: "1" } } } },
      [false, false, true, false],
    ],
    [
      "CPU of the ingester",
      { ingest: { resources: { requests: { cpu: "1" } } } },
      [false, false, false, true],
    ],
  ])("is another for another %s", (_, change, expected) => {
    const before = releases({});
    expect(releases(change).map((release, i) => release !== before[i])).toEqual(expected);
  });

  it("does not depend on the order in which a person wrote the fields", () => {
    const one = { actors: { resources: { limits: { cpu: "1", memory: "1Gi" } } } };
    const other = { actors: { resources: { limits: { memory: "1Gi", cpu: "1" } } } };
    expect(releases(one)).toEqual(releases(other));
  });
});
