/** What a machine without Docker can tell of the image and of docker-compose.yaml. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { actorSpec } from "../cmd/actor/config.ts";
import { assignSpec } from "../cmd/assign/config.ts";
import { variableOf, type Settings } from "../cmd/config/setting.ts";
import { gatewaySpec } from "../cmd/gateway/config.ts";
import { ingestSpec } from "../cmd/ingest/config.ts";
import { querySpec } from "../cmd/query/config.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (file: string): string => readFileSync(path.join(root, file), "utf8");
const PROGRAMS = [
  "actor",
  "assign",
  "chart-hooks",
  "gateway",
  "ingest",
  "operator",
  "query",
  "smoke",
  "token-keys",
];

const ignored = read(".dockerignore")
  .split("\n")
  .filter((line) => line !== "" && !/^[#!*]/.test(line));
const isLeftOut = (file: string): boolean =>
  ignored.some((entry) => file === entry || file.startsWith(`${entry}/`)) || /[.-]fixture\.ts$/.test(file);

/** All that a program can load: files of ours, and packages. */
function closureOf(main: string): {
  readonly files: ReadonlySet<string>;
  readonly packages: ReadonlySet<string>;
} {
  const files = new Set<string>();
  const packages = new Set<string>();
  const waiting = [main];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (files.has(file)) continue;
    files.add(file);
    for (const { fileName } of ts.preProcessFile(read(file)).importedFiles) {
      if (fileName.startsWith(".")) waiting.push(path.posix.join(path.posix.dirname(file), fileName));
      else if (!fileName.startsWith("node:")) packages.add(fileName);
    }
  }
  return { files, packages };
}

describe("the image", () => {
  it.each(PROGRAMS)("has all that cmd/%s loads", (program) => {
    const { files, packages } = closureOf(`cmd/${program}/main.ts`);
    expect([...files].filter(isLeftOut)).toEqual([]);
    expect(packages).not.toContain("chdb");
  });

  it("leaves out what is there to be left out", () => {
    const entries = ignored.filter((entry) => !entry.includes("*"));
    expect(entries.filter((entry) => !existsSync(path.join(root, entry)))).toEqual([]);
  });
});

interface Service {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly volumes?: readonly string[];
  readonly user?: string;
  readonly read_only?: boolean;
}

describe("docker-compose.yaml", () => {
  const text = read("docker-compose.yaml");
  const compose = parse(text, { merge: true }) as {
    readonly services: Readonly<Record<string, Service>>;
    readonly volumes: Readonly<Record<string, unknown>>;
  };
  const services = Object.entries(compose.services);
  const ours = services.filter(([, { command }]) => command?.[0]?.startsWith("cmd/"));

  it("sets of each program what it knows, and all that it needs", () => {
    const specs = [actorSpec, assignSpec, gatewaySpec, ingestSpec, querySpec];
    const settingsOf = new Map(specs.map(({ name, settings }): [string, Settings] => [name, settings]));
    let seen = 0;
    for (const [service, { command = [], environment = {} }] of ours) {
      const settings = settingsOf.get(command[0]!.split("/")[1]!);
      if (settings === undefined) continue;
      seen += 1;
      const known = Object.keys(settings).map(variableOf);
      const given = Object.keys(environment).filter((name) => name.startsWith("ADTALLY_"));
      expect([service, given.filter((name) => !known.includes(name))]).toEqual([service, []]);
      const flags = command.slice(1).map((flag) => flag.split("=")[0]!.replace(/^--/, ""));
      const has = (name: string) =>
        given.includes(name) ||
        flags.includes(name.slice("ADTALLY_".length).toLowerCase().replaceAll("_", "-"));
      const needed = Object.keys(settings).filter((name) => settings[name]?.isRequired && name !== "dataDir");
      expect([service, needed.map(variableOf).filter((name) => !has(name))]).toEqual([service, []]);
    }
    expect(seen).toBeGreaterThan(6);
  });

  it("pins every tag, and names only what there is", () => {
    for (const [, { depends_on = {}, image, volumes = [] }] of services) {
      expect(image).toMatch(/^\$\{|:v?\d+\.\d+/);
      for (const name of Object.keys(depends_on)) expect(compose.services).toHaveProperty(name);
      for (const volume of volumes) expect(compose.volumes).toHaveProperty(volume.split(":")[0]!);
    }
  });

  it("runs our programs as nobody in particular, on a file system that they cannot write", () => {
    expect(ours.map(([, { user, read_only }]) => [user, read_only])).toEqual(
      ours.map(() => ["10001:10001", true]),
    );
  });

  it("takes from .env what .env.example has", () => {
    const example = [...read(".env.example").matchAll(/^(\w+)=/gm)].map(([, name]) => name);
    const taken = new Set([...text.matchAll(/\$\{(\w+)/g)].map(([, name]) => name));
    expect([...taken].sort()).toEqual(example.sort());
  });
});
