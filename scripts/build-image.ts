/**
 * npm run image:build: the image of the Dockerfile as an OCI archive, made without Docker: Debian's
 * C and C++ libraries, this checkout's pinned Node, its production dependencies as package-lock.json
 * has them, and the programs. For tests on a real node (testing/kubernetes), and for whoever has no
 * Docker: `ctr images import`, `podman load`, `docker load` take it.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { fetchDebianPackages } from "../testing/servers/debian-package.ts";
import { cached, reportToStderr } from "../testing/servers/cache.ts";
import { writeImage } from "../testing/kubernetes/oci-image.ts";
import { describeImage, leavesOut } from "./dockerfile.ts";

const ROOT = path.resolve(import.meta.dirname, "..");
const LIBRARIES = ["libc6", "libgcc-s1", "libstdc++6", "libatomic1"];
const { values } = parseArgs({
  options: {
    tag: { type: "string", default: "adtally:local" },
    out: { type: "string", default: path.join(".cache", "image", "adtally.tar") },
  },
});

const read = (file: string): string => readFileSync(path.join(ROOT, file), "utf8");
const image = describeImage(read("Dockerfile"));
const owner = Number(image.user.split(":")[0]);
const started = performance.now();

const libraries = await cached("image-debian", "the image's libraries", reportToStderr, (into) =>
  fetchDebianPackages(LIBRARIES, into),
);
const root = mkdtempSync(path.join(os.tmpdir(), "adtally-image-"));
try {
  const into = (...parts: readonly string[]) => path.join(root, ...parts);
  for (const part of ["lib", "lib64", "usr"]) {
    if (existsSync(path.join(libraries, part))) copy(path.join(libraries, part), into(part));
  }
  for (const folder of ["etc", "proc", "sys", "dev", "tmp", "usr/local/bin", ...image.volumes, "shared"]) {
    mkdirSync(into(folder), { recursive: true });
  }
  writeFileSync(
    into("etc/passwd"),
    `root:x:0:0:root:/root:/sbin/nologin\nadtally:x:${owner}:${owner}::/:/sbin/nologin\n`,
  );
  writeFileSync(into("etc/group"), `root:x:0:\nadtally:x:${owner}:\n`);
  writeFileSync(into("etc/nsswitch.conf"), "hosts: files dns\n");
  copy(path.join(ROOT, "node_modules/node/bin/node"), into("usr/local/bin/node"));

  const app = into(image.workingDir);
  const isLeftOut = leavesOut(read(".dockerignore"));
  for (const { from, to } of image.copies) {
    copy(path.join(ROOT, from), path.join(app, to), (file) => !isLeftOut(path.relative(ROOT, file)));
  }
  for (const name of productionPackages()) copyPackage(name, app);

  const file = path.resolve(values.out);
  await writeImage({
    tag: values.tag,
    folder: root,
    owned: { by: owner, folders: [...image.volumes, "/shared"].map((folder) => folder.slice(1)) },
    config: {
      Env: ["PATH=/usr/local/bin:/usr/bin:/bin", ...image.env],
      WorkingDir: image.workingDir,
      User: image.user,
      ExposedPorts: Object.fromEntries(image.exposed.map((port) => [`${port}/tcp`, {}])),
      Volumes: Object.fromEntries(image.volumes.map((volume) => [volume, {}])),
      StopSignal: image.stopSignal,
      Entrypoint: image.entrypoint,
      Cmd: image.cmd,
    },
    file,
  });
  const [size, seconds] = [statSync(file).size / 1e6, (performance.now() - started) / 1e3];
  reportToStderr(`${values.tag} is in ${values.out} (${size.toFixed(0)} MB, ${seconds.toFixed(1)} s)`);
} finally {
  rmSync(root, { recursive: true, force: true });
}

function copy(from: string, to: string, filter: (file: string) => boolean = () => true): void {
  cpSync(from, to, { recursive: true, verbatimSymlinks: true, filter });
}

/** Folders from the root; what development alone, or one platform, needs is not among them. */
function productionPackages(): readonly string[] {
  interface Locked {
    readonly dev?: boolean;
    readonly optional?: boolean;
    readonly devOptional?: boolean;
  }
  const { packages } = JSON.parse(read("package-lock.json")) as { packages: Record<string, Locked> };
  return Object.entries(packages)
    .filter(([name, { dev, optional, devOptional }]) => name !== "" && !dev && !optional && !devOptional)
    .map(([name]) => name)
    .filter((name) => !image.removed.includes(name));
}

/** Without the packages within it: those that are needed come by themselves. */
function copyPackage(name: string, app: string): void {
  const from = path.join(ROOT, name);
  if (!existsSync(from)) throw new Error(`${name} is not installed: npm ci, then start again`);
  copy(from, path.join(app, name), (file) => {
    const relative = path.relative(ROOT, file);
    const isRead = !image.removedEndings.some((ending) => file.endsWith(ending));
    return isRead && !image.removed.includes(relative) && relative !== path.join(name, "node_modules");
  });
}
