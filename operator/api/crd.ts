/**
 * The CustomResourceDefinitions, generated from the schemas beside this file. They are checked in
 * (charts/adtally-crds/templates), as a chart of their own, for helm does not upgrade what stands in
 * a chart's crds/; crd.test.ts holds the two together, and `npm run crds` writes them anew.
 */
import { stringify } from "yaml";
import type { z } from "zod";
import { clickCluster } from "./click-cluster.ts";
import { hotAdSplit } from "./hot-ad-split.ts";
import { GROUP, VERSION } from "./meta.ts";
import { structural, type Structural } from "./schema.ts";

interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "date";
  readonly jsonPath: string;
  readonly description: string;
  /** Above 0: shown with -o wide alone. */
  readonly priority?: number;
}

interface Resource {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly description: string;
  readonly schema: z.ZodType;
  readonly columns: readonly Column[];
  readonly scale?: Readonly<Record<string, string>>;
}

const age: Column = {
  name: "Age",
  type: "date",
  jsonPath: ".metadata.creationTimestamp",
  description: "When it was made.",
};

const RESOURCES: readonly Resource[] = [
  {
    kind: "ClickCluster",
    plural: "clickclusters",
    shortNames: ["cc"],
    description:
      "ClickCluster is one adtally: gateways, actor hosts and query services that count ad clicks exactly once.",
    schema: clickCluster,
    columns: [
      {
        name: "Ready",
        type: "string",
        jsonPath: '.status.conditions[?(@.type=="Ready")].status',
        description: "Whether clicks are taken and every shard is served.",
      },
      {
        name: "Status",
        type: "string",
        jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
        description: "Why, in a word.",
      },
      {
        name: "Shards",
        type: "integer",
        jsonPath: ".status.shards.count",
        description: "Shards of the newest generation.",
      },
      {
        name: "Actors",
        type: "integer",
        jsonPath: ".status.actors.up",
        description: "Actor hosts that can be given shards.",
      },
      {
        name: "Clicks/s",
        type: "integer",
        jsonPath: ".status.clicksPerSecond",
        description: "Clicks a second.",
      },
      {
        name: "Lag",
        type: "integer",
        jsonPath: ".status.lagClicks",
        description: "Clicks that the hosts are behind the log.",
      },
      { name: "Splits", type: "integer", jsonPath: ".status.splits", description: "Ads that are split." },
      {
        name: "Generation",
        type: "integer",
        jsonPath: ".status.routing.generation",
        description: "Newest routing generation.",
        priority: 1,
      },
      {
        name: "Recommended",
        type: "integer",
        jsonPath: ".status.actors.recommended",
        description: "Actor hosts that the load asks for.",
        priority: 1,
      },
      age,
    ],
    scale: {
      specReplicasPath: ".spec.actors.replicas",
      statusReplicasPath: ".status.actors.replicas",
      labelSelectorPath: ".status.actors.selector",
    },
  },
  {
    kind: "HotAdSplit",
    plural: "hotadsplits",
    shortNames: ["hotads"],
    description: "HotAdSplit is one ad whose clicks are spread over several shards.",
    schema: hotAdSplit,
    columns: [
      { name: "Ad", type: "string", jsonPath: ".spec.adId", description: "The ad." },
      {
        name: "Ways",
        type: "integer",
        jsonPath: ".spec.ways",
        description: "Shards that are wanted for it.",
      },
      { name: "State", type: "string", jsonPath: ".status.state", description: "Whether it is in force." },
      { name: "Origin", type: "string", jsonPath: ".spec.origin", description: "Who made it." },
      {
        name: "Clicks/s",
        type: "integer",
        jsonPath: ".status.clicksPerSecond",
        description: "The ad's clicks a second.",
      },
      { name: "Since", type: "date", jsonPath: ".status.since", description: "When it took force." },
      {
        name: "Cluster",
        type: "string",
        jsonPath: ".spec.clusterName",
        description: "The ClickCluster that counts it.",
        priority: 1,
      },
      age,
    ],
  },
];

function crd({ kind, plural, shortNames, description, schema, columns, scale }: Resource): object {
  const { properties = {}, ...rest } = structural(schema);
  const kept = (about: string): Structural => ({ type: "string", description: about });
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${GROUP}`,
      // What people keep in these objects outlives a chart that is uninstalled, unless they say otherwise:
      // then under another name, for helm leaves whatever has one of this name, whatever it says.
      annotations: {
        "{{ if .Values.keep }}helm.sh{{ else }}adtally.dev{{ end }}/resource-policy":
          "{{ if .Values.keep }}keep{{ else }}delete{{ end }}",
      },
      labels: { "app.kubernetes.io/name": "adtally-crds", "app.kubernetes.io/part-of": "adtally" },
    },
    spec: {
      group: GROUP,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames,
        categories: ["adtally"],
      },
      scope: "Namespaced",
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          additionalPrinterColumns: columns,
          subresources: { status: {}, ...(scale && { scale }) },
          schema: {
            openAPIV3Schema: {
              ...rest,
              description,
              properties: {
                apiVersion: kept("Version of the schema."),
                kind: kept("Kind of the object."),
                // The server describes it itself, and refuses a word about it here.
                metadata: { type: "object" },
                ...properties,
              },
            },
          },
        },
      ],
    },
  };
}

export interface CrdFile {
  readonly name: string;
  readonly text: string;
}

export function crdFiles(): readonly CrdFile[] {
  return RESOURCES.map((resource) => ({
    name: `${resource.plural}.yaml`,
    text: `# Generated from operator/api by \`npm run crds\`: do not edit.\n${stringify(crd(resource), { lineWidth: 0, aliasDuplicateObjects: false })}`,
  }));
}
