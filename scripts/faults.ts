/**
 * The index of the faults that adtally survives, made from the tests that show it: a test or a
 * group of tests whose title begins `fault N: ` answers fault N.
 *
 *   node scripts/faults.ts --write    makes docs/faults.md anew
 *
 * faults.test.ts holds that every fault of the list has its tests, and that the page names none that is gone.
 */
import { globSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { format, resolveConfig } from "prettier";
import ts from "typescript";
import type { SourceFile } from "./tidy.ts";

interface Fault {
  readonly what: string;
  /** What must hold besides I1 to I5. */
  readonly also?: string;
}

export const FAULTS: ReadonlyMap<number, Fault> = new Map<number, Fault>([
  [1, { what: "kill -9 of an actor host at any moment, again and again, under load" }],
  [2, { what: "an actor host stopped (SIGSTOP) for a minute; a successor takes over; the old one wakes" }],
  [3, { what: "two owners of one shard at once", also: "the gap rule heals it" }],
  [4, { what: "SIGTERM under load; rolling update of every component", also: "no failed click" }],
  [5, { what: "the log applies an append, the answer is lost", also: "the repeat is absorbed" }],
  [6, { what: "a broker killed, a leader changed" }],
  [7, { what: "the log down for minutes", also: "redirects go on, nothing false is acknowledged" }],
  [8, { what: "offset out of range: retention passed it", also: "the shard halts, and never jumps" }],
  [9, { what: "ClickHouse commits, the answer is lost" }],
  [10, { what: "ClickHouse down for an hour", also: "counting goes on, then catches up" }],
  [11, { what: "old counts arrive after newer ones", also: "the newest wins" }],
  [12, { what: "flipped bits in a file of the store", also: "found, and the state is made anew" }],
  [13, { what: "disk full, EIO", also: "fail-stop, nothing false is acknowledged" }],
  [14, { what: "Redis flushed, down, failed over", also: "the counts are unchanged" }],
  [
    15,
    {
      what: "a clock an hour off, stepping back",
      also: "windows stay right, or the click is refused by name",
    },
  ],
  [16, { what: "a click later than the watermark", also: "dead-lettered with its reason, replayable" }],
  [
    19,
    {
      what: "gateway and actor host cut off (both ways, one way, half open); messages twice and out of order",
    },
  ],
  [20, { what: "a client that reads slowly, or not at all", also: "bounded memory, cut off by name" }],
  [21, { what: "a poison or unknown-version record in the log", also: "quarantined with its offset" }],
  [
    23,
    {
      what: "the operator restarted in mid-rollout; a watch silent for an hour; the Kubernetes API away",
      also: "it converges, the data plane is unaffected",
    },
  ],
  [24, { what: "tokens forged, flipped, expired, truncated, another ad's, replayed a thousand times" }],
  [25, { what: "destinations `//evil`, `javascript:`, CR/LF, user@host, IDN" }],
  [26, { what: "messages too long, malformed, with unknown fields; smuggled requests" }],
]);

export interface FaultTest {
  readonly fault: number;
  /** Behind the number. */
  readonly title: string;
  /** Of a group: the tests in it. */
  readonly parts: readonly string[];
  readonly path: string;
}

const TITLE = /^fault (\d+): ([^]+)$/;
const RUNNERS = new Set(["test", "it", "describe"]);

/** Every `fault N: …` title in these files, in their order; a skipped test shows nothing. */
export function faultTests(files: readonly SourceFile[]): readonly FaultTest[] {
  return files.flatMap(({ path: file, text }) => {
    // A quick look, for most files have none.
    if (!/["'`]fault \d/.test(text)) return [];
    const found: FaultTest[] = [];
    const visit = (node: ts.Node): void => {
      if (ts.isCallExpression(node) && isRunner(node.expression)) {
        const match = TITLE.exec(titleOf(node.arguments[0]) ?? "");
        if (match !== null)
          found.push({ fault: Number(match[1]), title: match[2]!, parts: titlesWithin(node), path: file });
      }
      ts.forEachChild(node, visit);
    };
    visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest));
    return found;
  });
}

function titlesWithin(group: ts.CallExpression): readonly string[] {
  const titles: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isRunner(node.expression)) {
      const title = titleOf(node.arguments[0]);
      if (title !== undefined) titles.push(title);
    }
    ts.forEachChild(node, visit);
  };
  for (const argument of group.arguments.slice(1)) visit(argument);
  return titles;
}

/** test, test.each(…), describe.skipIf(…): by the name that it begins with. */
function isRunner(node: ts.Node): boolean {
  if (ts.isIdentifier(node)) return RUNNERS.has(node.text);
  if (ts.isCallExpression(node)) return isRunner(node.expression);
  return ts.isPropertyAccessExpression(node) && node.name.text !== "skip" && isRunner(node.expression);
}

function titleOf(node: ts.Node | undefined): string | undefined {
  if (node === undefined) return undefined;
  if (ts.isStringLiteralLike(node)) return node.text.replaceAll(/%[sdijo]/g, "…");
  if (!ts.isTemplateExpression(node)) return undefined;
  return node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join("");
}

/** What is wrong with the index, one line a fault of it. */
export function indexFaults(tests: readonly FaultTest[]): readonly string[] {
  const unknown = tests.filter(({ fault }) => !FAULTS.has(fault));
  const shown = new Set(tests.map(({ fault }) => fault));
  return [
    ...unknown.map(({ fault, path: file }) => `${file}: no fault ${fault} is listed in scripts/faults.ts`),
    ...[...FAULTS.keys()].filter((n) => !shown.has(n)).map((n) => `no test's title begins "fault ${n}: "`),
  ];
}

function suiteOf(file: string): string {
  return file.endsWith(".servers.test.ts") ? ", `npm run test:servers`" : "";
}

/** The page, as `prettier` would leave it. */
export async function renderIndex(tests: readonly FaultTest[]): Promise<string> {
  const sections = [...FAULTS].map(([n, { what, also }]) => {
    const lines = tests
      .filter(({ fault }) => fault === n)
      .flatMap(({ title, parts, path: file }) => [
        `- ${title} ([${path.posix.basename(file)}](../${file})${suiteOf(file)})`,
        ...parts.map((part) => `  - ${part}`),
      ]);
    const promise = also === undefined ? "" : ` Also: ${also}.`;
    return `## ${n}. ${what}\n\n${promise.trim()}\n\n${lines.join("\n")}\n`;
  });
  return format(`${HEAD}\n${sections.join("\n")}`, { ...(await resolveConfig(PAGE)), parser: "markdown" });
}

/**
 * What is wrong with a page beside the one of today: lines that are not in it, and faults for which
 * it names no test. A test that is newer than the page is no fault of the page.
 */
export function staleLines(page: string, today: string): readonly string[] {
  const lines = new Set(today.split("\n"));
  const sections = page.split("\n## ").slice(1);
  const named = new Set(
    sections.filter((text) => text.includes("\n- ")).map((text) => Number.parseInt(text)),
  );
  return [
    ...page.split("\n").filter((line) => !lines.has(line)),
    ...[...FAULTS.keys()].filter((n) => !named.has(n)).map((n) => `the section of fault ${n} names no test`),
  ];
}

const HEAD = `# Faults, and the tests that show that adtally survives them

Made by \`node scripts/faults.ts --write\`; a test holds that all that it names is there. Each test also shows that its fault fired (I5).
After each fault the invariants of [ARCHITECTURE.md](../ARCHITECTURE.md) hold: every acknowledged click is counted once and nothing else is (I1), a replay of the log gives the same (I2), a shard's versions only rise (I3), what waits is drained (I4).

Beside these tests \`npm run test:exactly-once\` and \`npm run test:exactly-once-cluster\` kill and stop all parts under load and compare the counts with what was sent (faults 1, 2, 6, 7, 14).
On a real Kubernetes node \`npm run test:cluster\` does so from \`helm install\` to \`helm uninstall\` ([kubernetes.md](kubernetes.md)): pods are killed (1), everything is rolled out (4), a hot ad is split and merged in mid-burst, with duplicates across the change (17), actor hosts go from 1 to 3 and back, with a crash in mid-move (18), the operator ends in mid-rollout, and the API server, the operator and the node's power are away (23).
`;

export const ROOT = path.resolve(import.meta.dirname, "..");
const PAGE = path.join(ROOT, "docs/faults.md");

export function testFiles(): readonly SourceFile[] {
  return globSync("{actors,cmd,loadtest,operator,scripts,testing}/**/*.{test,conformance}.ts", { cwd: ROOT })
    .sort()
    .map((file) => ({ path: file, text: readFileSync(path.join(ROOT, file), "utf8") }));
}

export const readPage = (): string => readFileSync(PAGE, "utf8");

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const tests = faultTests(testFiles());
  for (const fault of indexFaults(tests)) process.stderr.write(`${fault}\n`);
  const page = await renderIndex(tests);
  if (process.argv.includes("--write")) writeFileSync(PAGE, page);
  else process.stdout.write(page);
}
