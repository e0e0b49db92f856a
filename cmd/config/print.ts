/** What `print-config` shows: a file of settings that would give the same, secrets masked. */
import { stringify } from "yaml";
import type { Resolved } from "./resolve.ts";
import { isFromFile } from "./secrets.ts";
import { fileKeyOf, type Settings } from "./setting.ts";

export const MASK = "********";

export function printConfig(
  settings: Settings,
  resolved: Resolved<Settings>,
  notes: readonly string[],
): string {
  const { config, sources } = resolved;
  const rows = Object.entries(settings).map(([name, { isSecret, kind }]) => {
    const value: unknown = config[name];
    const key = fileKeyOf(name);
    const from = sources.get(name) ?? "default";
    if (value === undefined) return [`# ${key}: not set`, from] as const;
    if (isSecret && isFromFile(name, resolved)) return [`# ${key}: ${MASK}`, from] as const;
    const shown = isSecret ? MASK : kind.show(value);
    const line = stringify({ [key]: shown }, { collectionStyle: "flow", lineWidth: 0 });
    return [unwrapped(line), from] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = rows.map(([left, from]) => `${left.padEnd(width)}  # ${from}`);
  return [...lines, ...notes.map((note) => `# ${note}`), ""].join("\n");
}

/** `{ http_port: 8080 }` as `http_port: 8080`. */
function unwrapped(flow: string): string {
  return flow.trim().replace(/^\{ ?/, "").replace(/ ?\}$/, "");
}
