/**
 * One call of a program: what it is to do, with the configuration that holds. Pure but for the
 * file that --config names; `configure` is the same for a main, and ends the process.
 */
import { readFileSync } from "node:fs";
import { parseCommandLine, type ProgramSpec } from "./command-line.ts";
import { readConfigFile, type ReadFile } from "./file.ts";
import { printConfig } from "./print.ts";
import { resolve, type Resolved } from "./resolve.ts";
import { takeSecretFiles, withSecretFiles } from "./secrets.ts";
import { fileKeyOf, variableOf, type ConfigOf, type Settings } from "./setting.ts";
import { ALL_SETTINGS } from "./settings.ts";

export interface Surroundings {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly readFile?: (path: string) => string;
}

export type Invocation<S extends Settings> =
  | { readonly kind: "run"; readonly config: ConfigOf<S> }
  /** To be printed, and ended with. */
  | { readonly kind: "answer"; readonly text: string }
  | { readonly kind: "refused"; readonly text: string; readonly faults: readonly string[] };

const NO_FILE: ReadFile = { entries: new Map(), faults: [] };

export function readInvocation<S extends Settings>(spec: ProgramSpec<S>, at: Surroundings): Invocation<S> {
  const { argv, env, readFile = (path) => readFileSync(path, "utf8") } = at;
  const settings = withSecretFiles(spec.settings);
  const line = parseCommandLine({ name: spec.name, description: spec.description, settings }, argv);
  if (line.wants === "help") return { kind: "answer", text: line.helpText };
  if (line.wants === "version") return { kind: "answer", text: `${spec.name} ${at.version}\n` };

  const path = line.configPath ?? (env["ADTALLY_CONFIG"] || undefined);
  const file = path === undefined ? NO_FILE : readConfigFile(path, readFile);
  const known = new Set(Object.keys({ ...withSecretFiles(ALL_SETTINGS), ...settings }).map(fileKeyOf));
  const unknown = [...file.entries].filter(([key]) => !known.has(key));
  const given = resolve(settings, { flags: line.flags, env, file: file.entries });
  const whole = given.resolved && takeSecretFiles(settings, given.resolved, readFile);
  // The twins of secrets are no concern of programs.
  const resolved = whole?.resolved as Resolved<S> | undefined;
  const all = [
    ...line.faults,
    ...file.faults,
    ...unknown.map(([key, { place }]) => `${place} ${key}: no program of adtally has such a setting`),
    ...given.faults,
    ...(whole?.faults ?? []),
    ...(resolved === undefined ? [] : (spec.check?.(resolved.config) ?? [])),
  ];
  if (resolved === undefined || all.length > 0) return refused(spec.name, all);
  if (line.wants === "run") return { kind: "run", config: resolved.config };
  const notes = [...strangersInEnv(settings, env), ...strangersInFile(settings, file)];
  return { kind: "answer", text: printConfig(settings, resolved, notes) };
}

function refused(name: string, faults: readonly string[]): Invocation<never> {
  const what = faults.length === 1 ? "one setting is wrong" : `${faults.length} settings are wrong`;
  const text = [`${name} cannot start: ${what}`, ...faults.map((fault) => `  ${fault}`)];
  return { kind: "refused", text: [...text, `See ${name} --help.`, ""].join("\n"), faults };
}

/** All programs share one environment, so that what one does not know is no fault: but it may be a slip. */
function strangersInEnv(settings: Settings, env: Surroundings["env"]): string[] {
  const known = new Set(["ADTALLY_CONFIG", ...Object.keys(settings).map(variableOf)]);
  const others = Object.keys(env).filter((name) => name.startsWith("ADTALLY_") && !known.has(name));
  return others.sort().map((name) => `${name} is set, and not read by this program`);
}

/** One file may serve all programs. */
function strangersInFile(settings: Settings, file: ReadFile): string[] {
  const known = new Set(Object.keys(settings).map(fileKeyOf));
  const others = [...file.entries].filter(([key]) => !known.has(key));
  return others.map(([key, { place }]) => `${place} ${key} is for other programs`);
}

/** For a main: the configuration, or the end of the process with what was asked for or is wrong. */
export function configure<S extends Settings>(spec: ProgramSpec<S>, version: string): ConfigOf<S> {
  const asked = readInvocation(spec, { argv: process.argv.slice(2), env: process.env, version });
  if (asked.kind === "run") return asked.config;
  if (asked.kind === "answer") process.stdout.write(asked.text);
  else process.stderr.write(asked.text);
  process.exit(asked.kind === "answer" ? 0 : 1);
}
