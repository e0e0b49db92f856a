/**
 * What is generated for charts/adtally from its values: their schema, by which helm refuses what it
 * does not know, and the table of its README. Kinds of values stand here, their descriptions and
 * defaults in values.yaml, and what a ClickCluster has in operator/api.
 */
import { isMap, isScalar, parseDocument, type Pair, type YAMLMap } from "yaml";
import { z } from "zod";
import { clickCluster } from "../operator/api/click-cluster.ts";
import { structural, type Structural } from "../operator/api/schema.ts";

const group = (shape: z.ZodRawShape) => z.strictObject(shape).partial();
const text = z.string();
const flag = z.boolean();
const free = z.record(z.string(), z.unknown());
const labels = z.record(z.string(), text);
const dnsName = text.regex(/^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$/).max(253);
const shortName = text.regex(/^([a-z]([-a-z0-9]*[a-z0-9])?)?$/).max(40);
const quantity = text.regex(/^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$/);
const quantities = z.record(z.string(), z.union([quantity, z.number()]));
const resources = group({ requests: quantities, limits: quantities, claims: z.array(free) });
const seconds = z.int().min(1).max(86_400);
const paths = z.array(text.regex(/^\/\S*$/));
const ports = z.array(z.int().min(1).max(65_535));
const peers = z.array(
  z.strictObject({ podSelector: free, namespaceSelector: free, ipBlock: free }).partial(),
);
const persistence = group({ enabled: flag, size: quantity, storageClassName: dnsName });
const image = text.regex(/^[a-z0-9][^\s@]*(:[A-Za-z0-9_][-A-Za-z0-9_.]*|@sha256:[0-9a-f]{64})$/);

const values = group({
  nameOverride: shortName,
  fullnameOverride: shortName,
  image: group({
    repository: text.regex(/^[a-z0-9][^\s@]*$/),
    tag: text.regex(/^([A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?$/),
    digest: text.regex(/^(sha256:[0-9a-f]{64})?$/),
    pullPolicy: z.enum(["Always", "IfNotPresent", "Never"]),
    pullSecrets: z.array(z.strictObject({ name: dnsName })).max(8),
  }),
  createClickCluster: flag,
  clickCluster: free,
  generatedKeys: group({ keep: flag }),
  operator: group({
    replicas: z.int().min(0).max(10),
    allNamespaces: flag,
    logLevel: z.enum(["debug", "info", "warn", "error"]),
    tlsSecretName: dnsName,
    resources,
    nodeSelector: labels,
    tolerations: z.array(free),
    affinity: free,
    topologySpreadConstraints: z.array(free),
    priorityClassName: dnsName,
    podAnnotations: labels,
    podLabels: labels,
    serviceAccount: group({ create: flag, name: dnsName, annotations: labels }),
    podDisruptionBudget: group({ enabled: flag }),
  }),
  hooks: group({ resources, uninstallSeconds: seconds, keepState: flag }),
  networkPolicy: group({
    enabled: flag,
    apiServerPorts: ports.min(1),
    serverPorts: ports,
    metricsFrom: peers,
    bundledFrom: peers,
  }),
  ingress: group({
    enabled: flag,
    className: dnsName,
    annotations: labels,
    host: dnsName,
    tlsSecretName: dnsName,
    gatewayPaths: paths,
    queryPaths: paths,
  }),
  httpRoute: group({
    enabled: flag,
    annotations: labels,
    parentRefs: z.array(free),
    hostnames: z.array(dnsName),
    gatewayPaths: paths,
    queryPaths: paths,
  }),
  monitoring: group({
    serviceMonitor: group({ enabled: flag, interval: text.regex(/^[0-9]+(ms|s|m)$/), labels }),
    dashboards: group({ enabled: flag, labels }),
  }),
  bundled: group({
    enabled: flag,
    redpanda: group({ image, memory: text.regex(/^[0-9]+[MG]$/), resources, persistence }),
    clickhouse: group({ image, resources, persistence }),
    redis: group({ image, resources }),
    nodeSelector: labels,
    tolerations: z.array(free),
  }),
  smokeTest: group({ seconds }),
  // Helm's own, for a chart that has this one among its own.
  global: free,
});

interface Described {
  /** Such as `image.tag`. */
  readonly path: string;
  readonly fallback: unknown;
  readonly about: string;
}

/** Everything in values.yaml with a comment that begins with `--`, in its order. */
export function describedValues(source: string): readonly Described[] {
  const document = parseDocument(source);
  if (!isMap(document.contents)) throw new Error("values.yaml: no values");
  return below(document.contents as YAMLMap, "");
}

function below(map: YAMLMap, prefix: string): readonly Described[] {
  return (map.items as Pair[]).flatMap((pair, at) => {
    const key = isScalar(pair.key) ? pair.key : undefined;
    const path = `${prefix}${String(key?.value)}`;
    // The parser gives the first one's comment to the map.
    const comment = key?.commentBefore ?? (at === 0 ? map.commentBefore : undefined) ?? "";
    const start = comment.indexOf("-- ");
    if (start >= 0) {
      const about = comment
        .slice(start + 3)
        .split("\n")
        .map((line) => line.trim())
        .join(" ");
      return [{ path, fallback: isMap(pair.value) || pair.value !== null ? toJs(pair.value) : null, about }];
    }
    if (isMap(pair.value)) return below(pair.value as YAMLMap, `${path}.`);
    throw new Error(`values.yaml: ${path} has no description, a comment that begins with "# --"`);
  });
}

const toJs = (node: unknown): unknown => (node as { toJSON(): unknown }).toJSON();

type Schema = Record<string, unknown> & {
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: Schema | boolean;
};

/** charts/adtally/values.schema.json */
export function valuesSchema(source: string): string {
  const { $schema, ...schema } = z.toJSONSchema(values, { target: "draft-7" }) as Schema;
  schema.properties!["clickCluster"] = ofClickCluster();
  for (const { path, about } of describedValues(source)) {
    const at = path.split(".").reduce<Schema | undefined>((each, name) => each?.properties?.[name], schema);
    if (at === undefined) throw new Error(`values.yaml: scripts/chart-values.ts does not know ${path}`);
    at["description"] = about;
  }
  const undescribed = missing(schema, "");
  if (undescribed.length > 0) throw new Error(`values.yaml lacks ${undescribed.join(", ")}`);
  return `${JSON.stringify({ $schema, ...schema }, null, 2)}\n`;
}

function missing(schema: Schema, prefix: string): readonly string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, each]) => {
    if ("description" in each || `${prefix}${name}` === "global") return [];
    const inner = missing(each, `${prefix}${name}.`);
    return each.properties === undefined ? [`${prefix}${name}`] : inner;
  });
}

/** What the chart fills in where it is left out. */
const FILLED_IN = ["tokenKeys", "adminKey", "redpanda", "clickhouse", "redis"];

function ofClickCluster(): Schema {
  const spec = strict(structural(clickCluster).properties!["spec"]!);
  delete spec["required"];
  for (const name of FILLED_IN) delete spec.properties![name]!["required"];
  return spec;
}

/** As helm checks it: defaults and CEL rules are the API server's. */
function strict(schema: Structural): Schema {
  const kept = Object.entries(schema).filter(([name]) => !/^(x-|default$|format$)/.test(name));
  const { properties, items, additionalProperties, ...rest } = Object.fromEntries(kept) as Structural;
  return {
    ...rest,
    ...(properties !== undefined && {
      properties: Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, strict(each)])),
      additionalProperties: false,
    }),
    ...(items !== undefined && { items: strict(items) }),
    ...(additionalProperties !== undefined && { additionalProperties: strict(additionalProperties) }),
  };
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** charts/adtally/templates/operator/_rules.tpl: each list of rules under a name of its own. */
export function rulesTemplate(lists: Readonly<Record<string, readonly Rule[]>>): string {
  const words = (each: readonly string[]) =>
    `[${each.map((word) => (word === "" ? '""' : word)).join(", ")}]`;
  const line = ({ apiGroups, resources, verbs }: Rule) =>
    `- { apiGroups: ${words(apiGroups)}, resources: ${words(resources)}, verbs: ${words(verbs)} }`;
  const defines = Object.entries(lists).map(
    ([name, rules]) => `{{- define "${name}" -}}\n${rules.map(line).join("\n")}\n{{- end -}}\n`,
  );
  return `{{/* Made of operator/rbac.ts by npm run charts: do not edit. */}}\n\n${defines.join("\n")}`;
}

const BEGIN = "<!-- Made of values.yaml by npm run charts: begin -->";
const END = "<!-- end -->";

/** The README with its table made anew. */
export function readmeWithValues(readme: string, source: string): string {
  const [before = "", rest] = readme.split(BEGIN);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`README.md: ${BEGIN} … ${END} is missing`);
  const cell = (words: string) => words.replaceAll("|", "\\|");
  const rows = describedValues(source).map(
    ({ path, fallback, about }) => `| \`${path}\` | \`${cell(JSON.stringify(fallback))}\` | ${cell(about)} |`,
  );
  return `${before}${BEGIN}\n\n| value | default | what it is |\n| --- | --- | --- |\n${rows.join("\n")}\n\n${END}${after}`;
}
