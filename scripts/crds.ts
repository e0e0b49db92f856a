/** `npm run crds`: writes the CustomResourceDefinitions that operator/api describes. */
import { mkdirSync, writeFileSync } from "node:fs";
import { crdFiles } from "../operator/api/crd.ts";

const folder = new URL("../charts/adtally-crds/templates/", import.meta.url);
mkdirSync(folder, { recursive: true });
for (const { name, text } of crdFiles()) {
  writeFileSync(new URL(name, folder), text);
  process.stdout.write(`charts/adtally-crds/templates/${name}\n`);
}
