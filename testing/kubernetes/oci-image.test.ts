import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { runCommand } from "../servers/command.ts";
import { fullNameOf, writeImage } from "./oci-image.ts";

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

async function imageOf(name: string) {
  const dir = mkdtempSync(path.join(os.tmpdir(), "adtally-oci-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const folder = path.join(dir, "root");
  mkdirSync(path.join(folder, "data"), { recursive: true });
  writeFileSync(path.join(folder, "hello"), "hello");
  const file = path.join(dir, "image.tar");
  const owned = { by: 10_001, folders: ["data"] };
  await writeImage({ tag: name, folder, owned, config: { Cmd: ["/hello"] }, file });
  const layout = path.join(dir, "layout");
  mkdirSync(layout);
  await runCommand("tar", ["-C", layout, "-xf", file]);
  const blobOf = ({ digest, size }: Descriptor): Buffer => {
    const blob = readFileSync(path.join(layout, "blobs", ...digest.split(":")));
    expect(createHash("sha256").update(blob).digest("hex")).toBe(digest.split(":")[1]);
    expect(blob.length).toBe(size);
    return blob;
  };
  const json = (blob: Buffer) => JSON.parse(blob.toString());
  const index = json(readFileSync(path.join(layout, "index.json")));
  const manifest = json(blobOf(index.manifests[0]));
  const layer = path.join(layout, "layer.tar");
  writeFileSync(layer, blobOf(manifest.layers[0]));
  return { index, manifest, config: json(blobOf(manifest.config)), layer };
}

describe("an OCI archive", () => {
  it("names each part by its digest and size, and itself in full", async () => {
    const { index, manifest, config } = await imageOf("adtally:local");
    expect(index.manifests[0].annotations["io.containerd.image.name"]).toBe(
      "docker.io/library/adtally:local",
    );
    expect(config).toMatchObject({ os: "linux", config: { Cmd: ["/hello"] } });
    expect(config.rootfs.diff_ids).toEqual([manifest.layers[0].digest]);
  });

  it("has the folder's files as root's, but for what another owns", async () => {
    const { layer } = await imageOf("adtally:local");
    const lines = (await runCommand("tar", ["--numeric-owner", "-tvf", layer])).trim().split("\n");
    const owners = lines.map((line) => line.split(/\s+/)).map((words) => [words.at(-1), words[1]]);
    expect(Object.fromEntries(owners)).toEqual({ "./": "0/0", "./hello": "0/0", "./data/": "10001/10001" });
  });

  it("is the same of the same files", async () => {
    const [one, two] = [await imageOf("a:1"), await imageOf("a:1")];
    expect(one.index).toEqual(two.index);
  });

  it.each([
    ["adtally:local", "docker.io/library/adtally:local"],
    ["adtally/adtally:1", "docker.io/adtally/adtally:1"],
    ["ghcr.io/adtally/adtally:1", "ghcr.io/adtally/adtally:1"],
    ["localhost:5000/a:1", "localhost:5000/a:1"],
  ])("calls %s in full %s", (tag, full) => expect(fullNameOf(tag)).toBe(full));
});
