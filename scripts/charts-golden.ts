/**
 * `npm run charts:golden`: writes what the chart renders for each case of charts/adtally/ci into
 * charts/adtally/golden, one file a case. A change of a template shows there, line by line.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { helmOf, ofKubernetes, type Helm } from "../testing/kubernetes/helm.ts";
import { installHelm } from "../testing/kubernetes/kubernetes-install.ts";

export const CHART = path.resolve(import.meta.dirname, "../charts/adtally");
export const RELEASE = "adtally";
export const NAMESPACE = "ads";

/** Their values' files. */
export const chartCases = (): readonly string[] => readdirSync(path.join(CHART, "ci")).sort();
export const valuesOf = (name: string): string => path.join(CHART, "ci", name);
export const goldenOf = (name: string): string => path.join(CHART, "golden", name);

export async function rendered(helm: Helm, name: string): Promise<string> {
  const values = ["--values", valuesOf(name), "--namespace", NAMESPACE];
  const printed = await helm(["template", RELEASE, CHART, ...values, ...ofKubernetes]);
  return `# Made by npm run charts:golden, of ci/${name}: do not edit.\n${printed}`;
}

if (import.meta.main) {
  const dir = mkdtempSync(path.join(os.tmpdir(), "adtally-golden-"));
  try {
    const helm = helmOf(await installHelm(), dir);
    for (const name of chartCases()) {
      writeFileSync(goldenOf(name), await rendered(helm, name));
      process.stdout.write(`charts/adtally/golden/${name}\n`);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
