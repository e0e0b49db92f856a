/**
 * `npm run charts`: writes what of charts/adtally is made of other things: the schema and the README's
 * table of its values, and the operator's roles of what the operator says that it needs.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { format } from "prettier";
import { CLUSTER_RULES, LEASE_RULES } from "../operator/rbac.ts";
import { readmeWithValues, rulesTemplate, valuesSchema } from "./chart-values.ts";

const chart = new URL("../charts/adtally/", import.meta.url);

export interface ChartFile {
  readonly file: URL;
  readonly text: string;
}

export async function chartFiles(): Promise<readonly ChartFile[]> {
  const source = readFileSync(new URL("values.yaml", chart), "utf8");
  const readme = new URL("README.md", chart);
  const schema = new URL("values.schema.json", chart);
  const width = { printWidth: 110 };
  const rules = { "adtally.clusterRules": CLUSTER_RULES, "adtally.leaseRules": LEASE_RULES };
  return [
    { file: new URL("templates/operator/_rules.tpl", chart), text: rulesTemplate(rules) },
    { file: schema, text: await format(valuesSchema(source), { parser: "json", ...width }) },
    {
      file: readme,
      text: await format(readmeWithValues(readFileSync(readme, "utf8"), source), {
        parser: "markdown",
        ...width,
      }),
    },
  ];
}

if (import.meta.main) {
  for (const { file, text } of await chartFiles()) {
    writeFileSync(file, text);
    process.stdout.write(`${file.pathname.slice(file.pathname.indexOf("charts/"))}\n`);
  }
}
