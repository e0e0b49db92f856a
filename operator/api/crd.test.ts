import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { DEFAULT_LIMITS, RELATIONS } from "../../actors/core/limits.ts";
import { brokenRules } from "./cel.fixture.ts";
import { clickCluster, parseClickClusterSpec } from "./click-cluster.ts";
import { crdFiles } from "./crd.ts";
import { hotAdSplit } from "./hot-ad-split.ts";
import { limitsOf } from "./limits.ts";
import { structural, type Structural } from "./schema.ts";

const folder = fileURLToPath(new URL("../../charts/adtally-crds/templates", import.meta.url));
const least = {
  image: "adtally:1",
  tokenKeys: { name: "keys" },
  redpanda: { brokers: ["redpanda:9092"] },
  clickhouse: { url: "http://clickhouse:8123" },
  redis: { url: "redis://redis:6379" },
};
const clusterSchema = structural(clickCluster);
const splitSchema = structural(hotAdSplit);

/** Every schema within `schema`, with the path to it. */
function* nodes(schema: Structural, at = ""): Generator<readonly [string, Structural]> {
  yield [at, schema];
  for (const [name, each] of Object.entries(schema.properties ?? {})) yield* nodes(each, `${at}.${name}`);
  if (schema.items !== undefined) yield* nodes(schema.items, `${at}[]`);
  if (schema.additionalProperties !== undefined) yield* nodes(schema.additionalProperties, `${at}.*`);
}

interface Crd {
  readonly spec: {
    readonly versions: readonly {
      readonly schema: { readonly openAPIV3Schema: Structural };
      readonly additionalPrinterColumns: readonly { readonly name: string; readonly jsonPath: string }[];
    }[];
  };
}
const crds = crdFiles().map(({ name, text }): [string, Crd] => [name, parse(text) as Crd]);

describe("the CustomResourceDefinitions", () => {
  it("are checked in as they are generated: npm run crds", () => {
    expect(readdirSync(folder).sort()).toEqual(
      crdFiles()
        .map(({ name }) => name)
        .sort(),
    );
    for (const { name, text } of crdFiles()) expect(readFileSync(`${folder}/${name}`, "utf8")).toBe(text);
  });

  const KEYWORDS =
    /^(type|description|properties|items|additionalProperties|required|default|enum|pattern|format|anyOf|(min|max)(imum|Length|Items)|x-kubernetes-(validations|int-or-string|list-type|list-map-keys))$/;

  it.each(crds)(
    "%s is structural: a type and a description everywhere, no keyword that the server refuses",
    (_, crd) => {
      for (const [at, schema] of nodes(crd.spec.versions[0]!.schema.openAPIV3Schema)) {
        if (at === ".metadata") expect(Object.keys(schema)).toEqual(["type"]);
        else expect(schema["description"], `description of ${at}`).toMatch(/\.$/);
        for (const keyword of Object.keys(schema)) expect(keyword, at).toMatch(KEYWORDS);
        const isEither = schema["x-kubernetes-int-or-string"] === true;
        expect(schema["type"] === undefined, `type of ${at}`).toBe(isEither);
        if (isEither) expect(schema["anyOf"]).toEqual([{ type: "integer" }, { type: "string" }]);
        else expect(schema["anyOf"], at).toBeUndefined();
        expect("properties" in schema && "additionalProperties" in schema, at).toBe(false);
      }
    },
  );

  it.each(crds)("%s has no template in it but whether it stays, for it is rendered by helm", (name) => {
    const { text } = crdFiles().find((file) => file.name === name)!;
    const choice = ["{{ if .Values.keep }}", "{{ else }}", "{{ end }}"];
    expect(text.match(/\{\{[^}]*\}\}/g)).toEqual([...choice, ...choice]);
  });

  it.each(crds)("%s prints columns of fields that there are", (_, crd) => {
    const { additionalPrinterColumns, schema } = crd.spec.versions[0]!;
    const paths = new Set([...nodes(schema.openAPIV3Schema)].map(([at]) => at));
    for (const { name, jsonPath } of additionalPrinterColumns) {
      const path = jsonPath.replace(/\[\?.*\]/, "[]");
      expect(paths.has(path) || path === ".metadata.creationTimestamp", name).toBe(true);
    }
  });

  it("write each object's default out whole, and it breaks no rule", () => {
    for (const [at, schema] of nodes(clusterSchema)) {
      if (schema.properties === undefined || schema["default"] === undefined) continue;
      const given = schema["default"] as Record<string, unknown>;
      for (const [name, each] of Object.entries(schema.properties))
        if (each["default"] !== undefined) expect(given[name], `${at}.${name}`).toEqual(each["default"]);
      expect(brokenRules(schema, given), at).toEqual([]);
    }
  });
});

describe("the rules of a ClickCluster", () => {
  type Change = Readonly<Record<string, unknown>>;
  const of = (change: Change, name = "clicks") => ({
    metadata: { name },
    spec: parseClickClusterSpec({ ...least, ...change }),
  });
  const broken = (change: Change, old?: unknown) => brokenRules(clusterSchema, of(change), old);

  it("are met by the least that can be said", () => {
    expect(broken({})).toEqual([]);
    expect(broken({}, of({}))).toEqual([]);
  });

  it.each<[string, Change, RegExp]>([
    ["shards: min above max", { shards: { min: 65, max: 64 } }, /min must not be above max/],
    ["actors: min above max", { actors: { min: 3, replicas: 3, max: 2 } }, /min must not be above max/],
    ["actors: replicas above max", { actors: { replicas: 9 } }, /replicas must lie between/],
    ["actors: replicas below min", { actors: { min: 2 } }, /replicas must lie between/],
    ["gateways: min above max", { gateways: { min: 3 } }, /min must not be above max/],
    [
      "more actor hosts than shards",
      { actors: { max: 9 }, shards: { min: 1, max: 8 } },
      /host without a shard/,
    ],
    ["merging above half of splitting", { hotAds: { mergeBelowPercent: 26 } }, /split and merged in turn/],
    [
      "a memory that ends before the token",
      { retention: { dedupRetentionSeconds: 7_559 } },
      /one click can count twice/,
    ],
    [
      "a log too short to rebuild from",
      { retention: { logRetentionSeconds: 17_999 } },
      /made again from the log/,
    ],
    [
      "no append that could succeed",
      { redpanda: { ...least.redpanda, minInsync: 4 } },
      /no append could succeed/,
    ],
    ["a user without a password", { redpanda: { ...least.redpanda, user: "u" } }, /needs its passwordSecret/],
  ])("refuse %s", (_, change, message) => {
    expect(broken(change)).toContainEqual(expect.stringMatching(message));
  });

  it("accept the bounds themselves", () => {
    expect(broken({ retention: { dedupRetentionSeconds: 7_560 } })).toEqual([]);
    expect(broken({ retention: { logRetentionSeconds: 18_000 } })).toEqual([]);
    expect(broken({ actors: { min: 2, replicas: 2, max: 2 }, hotAds: { mergeBelowPercent: 25 } })).toEqual(
      [],
    );
  });

  it("refuse shards below those of a live generation, and nothing else of shrinking", () => {
    const old = { ...of({}), status: { shards: { count: 16, live: 32, owned: 16 } } };
    expect(broken({ shards: { max: 32 } }, old)).toEqual([]);
    expect(broken({ shards: { max: 31 } }, old)).toEqual([expect.stringMatching(/live generation/)]);
    expect(broken({ shards: { max: 16 } }, of({}))).toEqual([]);
  });

  it("let the status be written though the spec was wrong before it", () => {
    const spec = of({ shards: { max: 16 } });
    const status = { shards: { count: 32, live: 32, owned: 32 } };
    expect(brokenRules(clusterSchema, { ...spec, status }, { ...spec, status })).toEqual([]);
  });

  it.each(["Clicks", "1-clicks", "clicks-", "my.clicks", "c".repeat(41)])("refuse the name %s", (name) => {
    expect(brokenRules(clusterSchema, of({}, name))).toEqual([expect.stringMatching(/metadata.name/)]);
  });

  it("refuse volumes of another size, which no StatefulSet takes", () => {
    const grown = { size: "20Gi" };
    expect(broken({ actors: { storage: grown } }, of({}))).toHaveLength(1);
    expect(broken({ gateways: { spool: grown } }, of({}))).toHaveLength(1);
    expect(broken({ gateways: { spool: grown } }, of({ gateways: { spool: grown } }))).toEqual([]);
  });

  it("refuse what would let generations differ, or a click count twice, while pods of both settings run", () => {
    const before = of({ retention: { clockSkewSeconds: 20 } });
    expect(broken({ retention: { clockSkewSeconds: 20 } }, before)).toEqual([]);
    expect(broken({ retention: { clockSkewSeconds: 21 } }, before)).toEqual([]);
    expect(broken({ retention: { clockSkewSeconds: 19 } }, before)).toEqual([
      expect.stringMatching(/cannot be lowered/),
    ]);
    const longer = { tokenLifeSeconds: 20_000, dedupRetentionSeconds: 30_000 };
    expect(broken({ retention: longer }, of({}))).toEqual([expect.stringMatching(/remembered them so far/)]);
    expect(broken({ retention: longer }, of({ retention: { dedupRetentionSeconds: 30_000 } }))).toEqual([]);
  });

  it("refuse another topic prefix", () => {
    expect(broken({ redpanda: { ...least.redpanda, topicPrefix: "b." } }, of({}))).toHaveLength(1);
  });
});

describe("the limits of a ClickCluster", () => {
  it("are the programs' own where nothing is set, and hold together wherever the rules do", () => {
    const ofPods = { routingLagMs: 90_000, routingLeadMs: DEFAULT_LIMITS.routingLeadMs + 90_000 };
    expect(limitsOf(parseClickClusterSpec(least))).toEqual({ ...DEFAULT_LIMITS, ...ofPods });
    const { retention } = parseClickClusterSpec(least);
    for (const clockSkewSeconds of [1, 85]) {
      const limits = limitsOf(
        parseClickClusterSpec({ ...least, retention: { ...retention, clockSkewSeconds } }),
      );
      expect(RELATIONS.filter(([, holds]) => !holds(limits)).map(([name]) => name)).toEqual([]);
    }
  });
});

describe("the rules of a HotAdSplit", () => {
  const spec = { clusterName: "c", adId: "1001", ways: 4 };
  const parsed = (change: object) => hotAdSplit.safeParse({ spec: { ...spec, ...change } });

  it.each(["0", "1", "18446744073709551615", "9999999999999999999"])("accept the ad %s", (adId) => {
    const { success, data } = parsed({ adId });
    expect(success).toBe(true);
    expect(brokenRules(splitSchema, data)).toEqual([]);
  });

  it.each(["18446744073709551616", "99999999999999999999"])("refuse the ad %s", (adId) => {
    expect(brokenRules(splitSchema, parsed({ adId }).data)).toHaveLength(1);
  });

  it.each([{ adId: "01" }, { adId: "-1" }, { adId: "" }, { ways: 0 }, { ways: 4_097 }, { origin: "Else" }])(
    "refuse %j by the schema",
    (change) => expect(parsed(change).success).toBe(false),
  );

  it("refuse another ad in the same object", () => {
    const { data } = parsed({});
    expect(brokenRules(splitSchema, parsed({ adId: "7" }).data, data)).toHaveLength(1);
    expect(brokenRules(splitSchema, parsed({ ways: 2 }).data, data)).toEqual([]);
  });
});
