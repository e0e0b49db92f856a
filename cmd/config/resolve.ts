/**
 * From what was given to what holds: each setting from the strongest source that has it, judged by
 * its schema, all faults at once.
 *
 *  C1 Flag over environment over file over default. An empty variable is not given.
 *  C2 A source that gives a wrong value is a fault, even where a stronger one wins.
 *  C3 A fault names the setting as its source knows it, and never quotes a secret.
 */
import type { FileEntry } from "./file.ts";
import { withoutPassword } from "./kinds.ts";
import { fileKeyOf, flagOf, variableOf, type ConfigOf, type Setting, type Settings } from "./setting.ts";

/** Where a value came from, as a person would name it. */
export type Source = "default" | `flag --${string}` | `env ADTALLY_${string}` | `file ${string}`;

export interface Given {
  /** By the setting's name: a flag's text, or what a switch was set to. */
  readonly flags: ReadonlyMap<string, string | boolean>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** By key, as the file has them; keys that no program knows are refused before. */
  readonly file: ReadonlyMap<string, FileEntry>;
}

export interface Resolved<S extends Settings> {
  readonly config: ConfigOf<S>;
  readonly sources: ReadonlyMap<string, Source>;
}

interface Candidate {
  readonly source: Source;
  /** As an error names it. */
  readonly name: string;
  readonly raw: unknown;
  readonly value: unknown;
}

export function resolve<S extends Settings>(
  settings: S,
  given: Given,
): { readonly resolved: Resolved<S> | undefined; readonly faults: readonly string[] } {
  const faults: string[] = [];
  const config: Record<string, unknown> = {};
  const sources = new Map<string, Source>();
  for (const [name, each] of Object.entries(settings)) {
    let taken = false;
    for (const candidate of candidatesOf(name, each, given)) {
      const { data, error } = each.kind.schema.safeParse(candidate.value);
      if (error !== undefined) {
        faults.push(faultOf(candidate, each, error.issues[0]?.path ?? [], error.issues[0]?.message ?? ""));
      } else if (!taken) {
        config[name] = data;
        sources.set(name, candidate.source);
      }
      taken = true;
    }
    if (taken) continue;
    if (each.isRequired) {
      const names = `${variableOf(name)}, or ${fileKeyOf(name)} in a --config file`;
      faults.push(`${flagOf(name)} is not set: ${each.help}; give it, or ${names}`);
    }
    config[name] = each.fallback;
    sources.set(name, "default");
  }
  return { resolved: faults.length > 0 ? undefined : { config: config as ConfigOf<S>, sources }, faults };
}

/** Strongest first. */
function candidatesOf(name: string, { kind }: Setting<unknown>, given: Given): Candidate[] {
  const found: Candidate[] = [];
  const [flag, variable, key] = [flagOf(name), variableOf(name), fileKeyOf(name)];
  const flagged = given.flags.get(name);
  if (flagged !== undefined) {
    const value = typeof flagged === "string" ? kind.fromText(flagged) : flagged;
    found.push({ source: `flag ${flag as `--${string}`}`, name: flag, raw: flagged, value });
  }
  const text = given.env[variable];
  if (text !== undefined && text !== "") {
    const source: Source = `env ${variable as `ADTALLY_${string}`}`;
    found.push({ source, name: variable, raw: text, value: kind.fromText(text) });
  }
  const entry = given.file.get(key);
  if (entry !== undefined) {
    const { place, value } = entry;
    found.push({ source: `file ${place}`, name: `${place} ${key}`, raw: value, value });
  }
  return found;
}

function faultOf(
  candidate: Candidate,
  { isSecret }: Setting<unknown>,
  path: readonly PropertyKey[],
  why: string,
): string {
  if (isSecret) return `${candidate.name}: ${why}`;
  const { raw } = candidate;
  const shown = withoutPassword(typeof raw === "string" ? raw : (JSON.stringify(raw) ?? String(raw)));
  const part = path.length === 0 ? "" : ` (at ${path.map(String).join(".")})`;
  return `${candidate.name} ${shown === "" ? '""' : shown}: ${why}${part}`;
}
