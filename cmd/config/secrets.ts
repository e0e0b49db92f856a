/**
 * Secrets from files, as Docker, Kubernetes and systemd hand them out: each secret `x` has a twin
 * `xFile` that names the file. A command line and an environment are seen by more people than that.
 *
 *  S1 Of a secret and its file the one from the stronger source holds; both from one are a fault.
 *  S2 The newline that an editor leaves at the end is no part of a secret.
 */
import { messageOf } from "../../actors/core/errors.ts";
import { path } from "./kinds.ts";
import type { Resolved, Source } from "./resolve.ts";
import { flagOf, optional, type Setting, type Settings } from "./setting.ts";

const fileOf = (name: string): string => `${name}File`;

/** All settings, with the twins beside their secrets. */
export function withSecretFiles(settings: Settings): Settings {
  const all = Object.entries(settings).flatMap(([name, each]): [string, Setting<unknown>][] => {
    if (!each.isSecret) return [[name, each]];
    return [
      [name, each],
      [fileOf(name), optional(path, `file that holds it, in place of ${flagOf(name)}`)],
    ];
  });
  return Object.fromEntries(all);
}

const STRENGTH = ["default", "file", "env", "flag"];
const strengthOf = (source: Source = "default"): number => STRENGTH.indexOf(source.split(" ")[0]!);

/** What holds once the files are read, and what is wrong with them. */
export function takeSecretFiles(
  settings: Settings,
  { config, sources }: Resolved<Settings>,
  read: (path: string) => string,
): { readonly resolved: Resolved<Settings>; readonly faults: readonly string[] } {
  const taken: Record<string, unknown> = { ...config };
  const from = new Map(sources);
  const faults: string[] = [];
  for (const [name, { isSecret, kind }] of Object.entries(settings)) {
    const file = config[fileOf(name)];
    if (!isSecret || typeof file !== "string") continue;
    const [own, its] = [strengthOf(sources.get(name)), strengthOf(sources.get(fileOf(name)))];
    if (own > its) continue;
    const flag = flagOf(fileOf(name));
    if (own === its) {
      faults.push(`${flagOf(name)} and ${flag} are both given: leave one out`);
      continue;
    }
    try {
      const { data, error } = kind.schema.safeParse(kind.fromText(read(file).replace(/\r?\n$/, "")));
      if (error !== undefined)
        faults.push(`${flag} ${file}: what it holds ${error.issues[0]?.message ?? ""}`);
      taken[name] = data;
      from.set(name, `file ${file}`);
    } catch (error) {
      faults.push(`${flag} ${file}: it cannot be read: ${messageOf(error)}`);
    }
  }
  return { resolved: { config: taken, sources: from }, faults };
}

/** Whether the value that holds came from the secret's file. */
export function isFromFile(name: string, { config, sources }: Resolved<Settings>): boolean {
  return sources.get(name) === `file ${String(config[fileOf(name)])}`;
}
