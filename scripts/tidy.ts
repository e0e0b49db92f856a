/**
 * The rules of the house that no linter knows, as pure functions over the text of its files:
 * each returns what is wrong, one line a fault, nothing when all is well. tidy.test.ts applies
 * them to the repository and to small examples of each fault.
 *
 * Imports point downward:
 *
 *   cmd, loadtest, scripts        programs, and what drives them from outside; of the programs
 *                                 cmd/cluster alone starts others, and knows testing
 *   testing                       servers and faults for tests; knows nothing of the rest
 *   actors/adapters, actors/sim   the only actors that know a driver
 *   actors/{shard,intake,…}       parts: decisions joined to ports; no I/O of their own
 *   actors/ports                  interfaces
 *   actors/{token,routing,…}      pure: one decision each
 *   actors/core                   imports nothing else
 *
 * actors/runtime (clock, log, deadlines) may be imported from anywhere above core. The operator stands
 * beside the data plane and knows of it what the two agree on: core, routing, assignment and load,
 * and asks for the last of them by the adapters of gRPC.
 *
 *   operator/{observe,act,…}      what talks to Kubernetes, and the loop
 *   operator/plan                 pure: what to do
 *   operator/api                  pure: the custom resources
 */
import path from "node:path";
import ts from "typescript";

export interface SourceFile {
  /** From the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

const MAX_LINES = 400;
const PURE = [
  "core",
  "token",
  "routing",
  "assignment",
  "dedup",
  "window",
  "fraud",
  "block",
  "hot-ads",
  "load",
  "reports",
].map((name) => `actors/${name}`);
/** What the operator and the data plane agree on. */
const AGREED = ["actors/core", "actors/routing", "actors/assignment", "actors/load"];
const PARTS = [
  "shard",
  "intake",
  "live",
  "placement",
  "catalogue",
  "keys",
  "dead-letters",
  "spill",
  "replica",
].map((name) => `actors/${name}`);
const TOP = ["cmd", "cmd/cluster", "loadtest", "scripts", "testing"];

/** Areas that each area may import, besides itself. Tests are free, but for what is said of cmd. */
const MAY_IMPORT = new Map<string, readonly string[]>([
  ["actors/core", []],
  ...PURE.slice(1).map((area): [string, string[]] => [area, [...PURE, "actors/runtime"]]),
  ["actors/runtime", ["actors/core"]],
  ["actors/ports", [...PURE, "actors/runtime"]],
  ...PARTS.map((area): [string, string[]] => [area, [...PURE, ...PARTS, "actors/ports", "actors/runtime"]]),
  ["actors/adapters", [...PURE, ...PARTS, "actors/ports", "actors/runtime"]],
  ["actors/sim", [...PURE, ...PARTS, "actors/ports", "actors/runtime", "actors/adapters"]],
  ["operator/api", ["actors/core"]],
  ["operator/plan", [...AGREED, "operator/api"]],
  [
    "operator",
    [...AGREED, "actors/ports", "actors/runtime", "actors/adapters", "operator/api", "operator/plan"],
  ],
  [
    "cmd",
    [
      ...PURE,
      ...PARTS,
      "actors/ports",
      "actors/runtime",
      "actors/adapters",
      "operator",
      "operator/api",
      "operator/plan",
    ],
  ],
  ["cmd/cluster", [...PURE, ...PARTS, "actors/ports", "actors/runtime", "actors/adapters", "cmd", "testing"]],
  ["testing", []],
  [
    "loadtest",
    [
      ...PURE,
      ...PARTS,
      "actors/ports",
      "actors/runtime",
      "actors/adapters",
      "actors/sim",
      "cmd",
      "cmd/cluster",
      "testing",
      "operator/api",
    ],
  ],
  [
    "scripts",
    [
      ...PURE,
      ...PARTS,
      "actors/ports",
      "actors/runtime",
      "actors/adapters",
      "testing",
      "operator/api",
      "operator",
    ],
  ],
]);

const DRIVERS_ALLOWED = ["actors/adapters", "operator", ...TOP];
/** Modules of Node that compute and do no I/O. */
const PURE_NODE = ["node:buffer", "node:crypto", "node:util", "node:v8", "node:zlib"];
/** Packages that compute and do no I/O. */
const PURE_PACKAGES = ["hash-wasm", "lru-cache", "prom-client", "uuid", "yaml", "zod"];

/** Packages that are listed though no file imports them, with what needs them. */
const NEEDED_UNIMPORTED: Readonly<Record<string, string>> = {
  "@types/k6": "the compiler reads it",
  "@types/node": "the compiler reads it",
  eslint: "npm run lint",
  node: "the pinned Node that runs everything",
  prettier: "npm run format",
};

const isTest = (file: string): boolean => /[.-](test|conformance|fixture|sample)\.ts$/.test(file);
const isCode = (file: string): boolean => /\.(ts|mjs|js)$/.test(file);

function areaOf(file: string): string {
  const [top = "", second = ""] = file.split("/");
  const isOwn =
    (top === "cmd" && second === "cluster") || (top === "operator" && /^(api|plan)$/.test(second));
  return top === "actors" || isOwn ? `${top}/${second}` : top;
}

interface Import {
  readonly from: SourceFile;
  /** A path from the root, or the name of a package or of a module of Node. */
  readonly target: string;
  readonly kind: "file" | "package" | "node";
}

function importsOf(from: SourceFile): readonly Import[] {
  return ts.preProcessFile(from.text).importedFiles.map(({ fileName }): Import => {
    if (fileName.startsWith(".")) {
      return { from, target: path.posix.join(path.posix.dirname(from.path), fileName), kind: "file" };
    }
    const parts = fileName.split("/");
    if (fileName.startsWith("node:")) return { from, target: parts[0]!, kind: "node" };
    return { from, target: parts.slice(0, fileName.startsWith("@") ? 2 : 1).join("/"), kind: "package" };
  });
}

export function importFaults(files: readonly SourceFile[]): readonly string[] {
  return files.filter((file) => isCode(file.path)).flatMap((file) => importsOf(file).flatMap(faultOf));
}

function faultOf({ from, target, kind }: Import): readonly string[] {
  const area = areaOf(from.path);
  const fault = (why: string): readonly string[] => [`${from.path} imports ${target}: ${why}`];
  if (kind === "file") {
    const to = areaOf(target);
    if (to === area || !from.path.includes("/")) return [];
    if (isTest(from.path)) return [];
    const allowed = MAY_IMPORT.get(area);
    if (allowed === undefined)
      return fault(`no rule says what ${area} may import; add one to scripts/tidy.ts`);
    return allowed.includes(to)
      ? []
      : fault(`imports point downward, and ${area} does not stand above ${to}`);
  }
  if (isTest(from.path) || DRIVERS_ALLOWED.includes(area) || !from.path.includes("/")) return [];
  if (kind === "node") {
    return PURE_NODE.includes(target) ? [] : fault("I/O belongs to adapters, behind a port");
  }
  return PURE_PACKAGES.includes(target) ? [] : fault("drivers belong to adapters, behind a port");
}

export interface PackageFile {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** What is listed is imported, what is imported is listed, and programs need no devDependency. */
export function packageFaults(files: readonly SourceFile[], listed: PackageFile): readonly string[] {
  const imports = files
    .filter((file) => isCode(file.path))
    .flatMap(importsOf)
    .filter(({ kind }) => kind === "package");
  const imported = new Set(imports.map(({ target }) => target));
  const shipped = Object.keys(listed.dependencies ?? {});
  const all = [...shipped, ...Object.keys(listed.devDependencies ?? {})];
  const faults = all
    .filter((name) => !imported.has(name) && !(name in NEEDED_UNIMPORTED))
    .map((name) => `package.json lists ${name}, which nothing imports`);
  for (const { from, target } of imports) {
    // k6 brings its own modules to the scripts that it runs; their types are a package.
    if (target === "k6" && from.path.startsWith("loadtest/k6/")) continue;
    if (!all.includes(target))
      faults.push(`${from.path} imports ${target}, which package.json does not list`);
    else if (!shipped.includes(target) && /^(actors|cmd|operator)\//.test(from.path) && !isTest(from.path)) {
      faults.push(`${from.path} imports ${target}, which is a devDependency only`);
    }
  }
  return faults;
}

/** Files stay short, say first what they own, and leave nothing to be done. */
export function textFaults(files: readonly SourceFile[]): readonly string[] {
  return files.flatMap(({ path: file, text }) => {
    const faults: string[] = [];
    const lines = text.split("\n").length - 1;
    if (isCode(file) && lines > MAX_LINES) {
      faults.push(`${file} has ${lines} lines: split it by idea, ${MAX_LINES} at the most`);
    }
    if (/^actors\/.*\.ts$/.test(file) && !isTest(file) && !text.startsWith("/**")) {
      faults.push(`${file} does not open with a docstring that says what it owns`);
    }
    text.split("\n").forEach((line, i) => {
      if (/\b(TO[D]O|FIX[M]E|X[X]X)\b/.test(line))
        faults.push(`${file}:${i + 1} leaves something to be done`);
    });
    return faults;
  });
}
