/**
 * The dashboard's files as browsers get them. There is no build: each module in browser/ is
 * stripped of its types by Node at start, and the few packages that it imports by name are served
 * from node_modules beside it. All paths carry one digest of all contents, so that whatever a
 * browser keeps for a year is never of another version than the page that names it.
 */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire, stripTypeScriptTypes } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { constants, gzipSync } from "node:zlib";

export interface Asset {
  readonly type: string;
  readonly bytes: Buffer;
  readonly gzipped: Buffer;
}

export interface Assets {
  /** What all paths begin with: "/dashboard/DIGEST/". */
  readonly base: string;
  /** By their names after the base. */
  readonly files: ReadonlyMap<string, Asset>;
}

const FOLDER = fileURLToPath(new URL("browser/", import.meta.url));
const SCRIPT = "text/javascript; charset=utf-8";
const STYLE = "text/css; charset=utf-8";

/** Modules that a browser cannot find by their names: the package's file, and its name here. */
const PACKAGES: Readonly<Record<string, readonly [file: string, name: string]>> = {
  preact: ["preact/dist/preact.mjs", "preact.js"],
  "preact/hooks": ["preact/hooks/dist/hooks.mjs", "preact-hooks.js"],
  htm: ["htm/dist/htm.module.js", "htm.js"],
  uplot: ["uplot/dist/uPlot.esm.js", "uplot.js"],
};

export function loadAssets(): Assets {
  const files = new Map<string, Asset>();
  const add = (name: string, type: string, text: string) => {
    const bytes = Buffer.from(text);
    files.set(name, { type, bytes, gzipped: gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION }) });
  };
  const modules = dirname(dirname(createRequire(import.meta.url).resolve("uplot/package.json")));
  const packaged = (file: string) => readFileSync(join(modules, file), "utf8");
  for (const name of readdirSync(FOLDER)) {
    const text = () => readFileSync(join(FOLDER, name), "utf8");
    if (name.endsWith(".css")) add(name, STYLE, text());
    else if (/\.ts$/.test(name) && !/\.(test|d)\.ts$/.test(name)) add(name, SCRIPT, nameFiles(strip(text())));
  }
  for (const [file, name] of Object.values(PACKAGES)) add(name, SCRIPT, nameFiles(packaged(file)));
  add("uplot.css", STYLE, packaged("uplot/dist/uPlot.min.css"));

  const digest = createHash("sha256");
  for (const [name, { bytes }] of files) digest.update(`${name}\0${bytes.length}\0`).update(bytes);
  return { base: `/dashboard/${digest.digest("hex").slice(0, 16)}/`, files };
}

/** Node says of the function, at its first use, that it is experimental: nothing to trouble a user with. */
function strip(text: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(text);
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** A package's name in an import, be it minified, becomes its file's. */
function nameFiles(text: string): string {
  return text
    .replaceAll(/\bfrom\s*"([\w/-]+)"/g, (found, name: string) => {
      const known = PACKAGES[name];
      return known === undefined ? found : `from"./${known[1]}"`;
    })
    .replaceAll(/^\/\/# sourceMappingURL=.*$/gm, "");
}
