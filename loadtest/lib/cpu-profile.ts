/** Where a program's main thread spent its time, from the profile that `node --cpu-prof` leaves. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Node's arguments that make it leave a profile in `dir` when it exits. */
export const profilingArguments = (dir: string): string[] => [
  "--cpu-prof",
  `--cpu-prof-dir=${dir}`,
  "--cpu-prof-interval=500",
];

/** The same for processes that are started in this one's environment: a value of NODE_OPTIONS. */
export const profilingOptions = (dir: string): string => profilingArguments(dir).join(" ");

const profilesIn = async (dir: string): Promise<string[]> =>
  (await readdir(dir)).filter((each) => each.endsWith(".cpuprofile"));

/** The functions with the most time of their own, as lines to print. */
export async function hottest(dir: string, count: number): Promise<readonly string[]> {
  const [name] = await profilesIn(dir);
  return name === undefined ? ["no profile was written"] : hottestOf(dir, name, count);
}

/** Of each process that `names` knows by its id, which stands in the name of its profile. */
export async function hottestByMember(
  dir: string,
  names: ReadonlyMap<number | undefined, string>,
  count: number,
): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const file of await profilesIn(dir)) {
    const pid = Number(file.split(".")[3]);
    const name = names.get(pid);
    // A thread of its own has its own profile; the main one's says enough.
    if (name !== undefined && file.split(".")[4] === "0")
      lines.push(name, ...(await hottestOf(dir, file, count)));
  }
  return lines;
}

async function hottestOf(dir: string, name: string, count: number): Promise<readonly string[]> {
  const { nodes, samples, timeDeltas } = JSON.parse(await readFile(join(dir, name), "utf8")) as Profile;
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
      const file = url.replace(/^.*\/(node_modules|actors|cmd)\//, "$1/");
      return [
        id,
        `${functionName || "(anonymous)"} ${file}${file === "" ? "" : `:${lineNumber + 1}`}`.trim(),
      ];
    }),
  );
  const selfUs = new Map<string, number>();
  let totalUs = 0;
  let idleUs = 0;
  samples.forEach((id, i) => {
    const where = names.get(id) ?? "?";
    const us = timeDeltas[i] ?? 0;
    totalUs += us;
    if (where === "(idle)") idleUs += us;
    else selfUs.set(where, (selfUs.get(where) ?? 0) + us);
  });
  const busyUs = totalUs - idleUs;
  const share = (us: number, of: number) => `${((us / of) * 100).toFixed(1)} %`.padStart(7);
  const sorted = [...selfUs].sort((a, b) => b[1] - a[1]).slice(0, count);
  return [
    `main thread busy ${share(busyUs, totalUs).trim()} of ${(totalUs / 1e6).toFixed(1)} s; self time of the busy part:`,
    ...sorted.map(([where, us]) => `${share(us, busyUs)}  ${where}`),
  ];
}
