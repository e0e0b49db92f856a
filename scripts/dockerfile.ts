/**
 * What the last stage of a Dockerfile says of the image, so that whoever builds the same image
 * without Docker says nothing twice. Knows the instructions that our Dockerfile uses, and no other.
 */

export interface ImageDescription {
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly user: string;
  readonly exposed: readonly string[];
  readonly volumes: readonly string[];
  readonly stopSignal: string;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** From the build's context, in order; what comes from another stage is not among them. */
  readonly copies: readonly { readonly from: string; readonly to: string }[];
  /** What an earlier stage installs and takes away again. */
  readonly removed: readonly string[];
  /** Of the names of files that it takes away wherever they are: ".map". */
  readonly removedEndings: readonly string[];
}

/** @throws Error where an instruction is not known */
export function describeImage(dockerfile: string): ImageDescription {
  const instructions = dockerfile
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .join("\n")
    .replaceAll(/\\\n\s*/g, " ")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [word = "", ...rest] = line.trim().split(/\s+/);
      return { word, rest, text: rest.join(" ") };
    });
  const last = instructions.slice(instructions.findLastIndex(({ word }) => word === "FROM") + 1);
  const of = (word: string) => last.filter((each) => each.word === word);
  const one = (word: string): string => of(word).at(-1)?.text ?? "";
  const list = (word: string) => JSON.parse(one(word) || "[]") as string[];
  // A RUN makes the folders that the volumes are; HEALTHCHECK is Docker's own, Kubernetes has probes.
  const known = "ENV WORKDIR USER EXPOSE VOLUME STOPSIGNAL ENTRYPOINT CMD COPY RUN HEALTHCHECK".split(" ");
  const runs = instructions.filter(({ word }) => word === "RUN").map(({ text }) => text);
  const unknown = last.find(({ word }) => !known.includes(word));
  if (unknown !== undefined) throw new Error(`the Dockerfile says ${unknown.word}, which is not known here`);
  return {
    env: of("ENV").flatMap(({ rest }) => rest),
    workingDir: one("WORKDIR"),
    user: one("USER"),
    exposed: of("EXPOSE").flatMap(({ rest }) => rest),
    volumes: list("VOLUME"),
    stopSignal: one("STOPSIGNAL"),
    entrypoint: list("ENTRYPOINT"),
    cmd: list("CMD"),
    removedEndings: runs.flatMap((run) =>
      [...run.matchAll(/-name '\*([^']+)' -delete/g)].map(([, end]) => end!),
    ),
    removed: runs.flatMap((run) => /rm -rf ([^&]*)/.exec(run)?.[1]?.trim().split(" ") ?? []),
    copies: of("COPY")
      .filter(({ rest }) => !rest[0]!.startsWith("--from="))
      .flatMap(({ rest }) =>
        rest.slice(0, -1).map((from) => ({ from, to: destination(rest.at(-1)!, from) })),
      ),
  };
}

/** From the working directory: into a folder where it ends so, else by that name. */
const destination = (to: string, from: string): string =>
  to.endsWith("/") ? `${to.replace(/^\.\//, "")}${from.split("/").at(-1)!}` : to.replace(/^\.\//, "");

/** By the context's .dockerignore, as Docker reads it: the last line that matches decides. */
export function leavesOut(dockerignore: string): (file: string) => boolean {
  const rules = dockerignore
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => ({ keeps: line.startsWith("!"), pattern: line.replace(/^!/, "") }));
  return (file) => {
    const rule = rules.findLast(({ pattern }) => expressionOf(pattern).test(file));
    return rule !== undefined && !rule.keeps;
  };
}

/** Of a file, or of a folder that it is in. */
function expressionOf(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("**/", "\0")
    .replaceAll("*", "[^/]*")
    .replaceAll("\0", "(?:.*/)?");
  return new RegExp(`^${source}(?:/.*)?$`);
}
