/**
 * An image as an OCI archive of one layer, made of a folder without Docker: what `ctr images
 * import` and `docker load` take. The same folder gives the same digest.
 */
import { createHash } from "node:crypto";
import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { runCommand } from "../servers/command.ts";

export interface ImageConfig {
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
  readonly Volumes?: Readonly<Record<string, Record<string, never>>>;
  readonly StopSignal?: string;
  readonly Labels?: Readonly<Record<string, string>>;
}

export interface Image {
  /** As pods name it: adtally:local. */
  readonly tag: string;
  /** Becomes the root file system; all in it is owned by root there. */
  readonly folder: string;
  /** But for these folders of it. */
  readonly owned?: { readonly by: number; readonly folders: readonly string[] };
  readonly config: ImageConfig;
  /** The archive. */
  readonly file: string;
}

const MEDIA = "application/vnd.oci.image";
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
/** No time of a build in it: the same files are the same image. */
const EPOCH = "1970-01-01T00:00:00Z";
const REPEATABLE = ["--sort=name", "--mtime=@0", "--numeric-owner"];
const OF_ROOT = ["--owner=0", "--group=0"];

/** The name in full, as containerd keeps it. */
export const fullNameOf = (tag: string): string => {
  const [first = "", ...rest] = tag.split("/");
  if (rest.length === 0) return `docker.io/library/${tag}`;
  return /[.:]|^localhost$/.test(first) ? tag : `docker.io/${tag}`;
};

export async function writeImage({ tag, folder, owned, config, file }: Image): Promise<void> {
  mkdirSync(path.dirname(file), { recursive: true });
  const layout = mkdtempSync(`${file}.`);
  try {
    const blobs = path.join(layout, "blobs", "sha256");
    mkdirSync(blobs, { recursive: true });
    const addText = (text: string) => {
      const digest = createHash("sha256").update(text).digest("hex");
      writeFileSync(path.join(blobs, digest), text);
      return { digest: `sha256:${digest}`, size: Buffer.byteLength(text) };
    };
    const unnamed = path.join(layout, "layer.tar");
    const without = owned?.folders.map((each) => `--exclude=./${each}`) ?? [];
    await runCommand("tar", [...REPEATABLE, ...OF_ROOT, ...without, "-C", folder, "-cf", unnamed, "."]);
    if (owned !== undefined) {
      const of = [`--owner=${owned.by}`, `--group=${owned.by}`];
      const folders = owned.folders.map((each) => `./${each}`);
      await runCommand("tar", [...REPEATABLE, ...of, "-C", folder, "-rf", unnamed, ...folders]);
    }
    const layerDigest = await digestOf(unnamed);
    const layer = { digest: `sha256:${layerDigest}`, size: statSync(unnamed).size };
    renameSync(unnamed, path.join(blobs, layerDigest));

    const platform = { architecture: ARCHITECTURES[process.arch] ?? process.arch, os: "linux" };
    const rootfs = { type: "layers", diff_ids: [layer.digest] };
    const history = [{ created: EPOCH, created_by: "adtally" }];
    const configuration = addText(JSON.stringify({ created: EPOCH, ...platform, config, rootfs, history }));
    const manifest = addText(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: `${MEDIA}.manifest.v1+json`,
        config: { mediaType: `${MEDIA}.config.v1+json`, ...configuration },
        layers: [{ mediaType: `${MEDIA}.layer.v1.tar`, ...layer }],
      }),
    );
    const names = {
      "io.containerd.image.name": fullNameOf(tag),
      "org.opencontainers.image.ref.name": tag.split(":").at(-1)!,
    };
    const index = {
      schemaVersion: 2,
      manifests: [{ mediaType: `${MEDIA}.manifest.v1+json`, ...manifest, platform, annotations: names }],
    };
    writeFileSync(path.join(layout, "index.json"), JSON.stringify(index));
    writeFileSync(path.join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    const parts = ["oci-layout", "index.json", "blobs"];
    await runCommand("tar", [...REPEATABLE, ...OF_ROOT, "-C", layout, "-cf", `${file}.partial`, ...parts]);
    renameSync(`${file}.partial`, file);
  } finally {
    rmSync(layout, { recursive: true, force: true });
  }
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
