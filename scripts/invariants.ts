/**
 * The numbered invariants of the code, and the table of them in ARCHITECTURE.md: where each file's
 * docstring has its own, `F2` alone means that of the file it stands in; another file's is cited
 * with that file's name: `F2 of fold.ts`. Pure, as tidy.ts: a list of faults, empty when all is well.
 */
import path from "node:path";
import type { SourceFile } from "./tidy.ts";

const COMMENT = /^\s*(?:\/?\*|\/\/)|\s\/\/\s|\/\*\*/;
const DEFINED = /^ \*\s+([A-Z]\d)\b(?! to)/;
const ROW = /^\|\s*([A-Z]\d[^|]*?)\s*\|\s*`([^`]+)`\s*\|/;
const HELD_IN = /^(actors|cmd|operator)\/|^scripts\/bootstrap\.mjs$/;
const SAYS_MORE = /[.-](test|conformance|fixture|sample)\.ts$/;
/** Names that look like numbers of ours: JavaScript's engine. */
const OTHERS = ["V8"];

const isHeld = ({ path: file }: SourceFile): boolean => HELD_IN.test(file) && !SAYS_MORE.test(file);

export function numbersOf(text: string): readonly string[] {
  return [...new Set(text.split("\n").flatMap((line) => DEFINED.exec(line)?.[1] ?? []))];
}

/** As the table writes them: `A1`, `A1, A2`, `A1 to A4`. */
export function written(numbers: readonly string[]): string {
  return numbers.length < 3 ? numbers.join(", ") : `${numbers[0]!} to ${numbers.at(-1)!}`;
}

export function tableFaults(files: readonly SourceFile[], architecture: string): readonly string[] {
  const rows = architecture.split("\n").flatMap((line) => {
    const [, numbers, file] = ROW.exec(line) ?? [];
    return numbers === undefined || file === undefined ? [] : [{ numbers, file }];
  });
  const listed = new Map(rows.map(({ file, numbers }) => [file, numbers]));
  const held = new Map(
    files
      .filter(isHeld)
      .map(({ path: file, text }) => [file, numbersOf(text)] as const)
      .filter(([, numbers]) => numbers.length > 0),
  );
  const faults = rows
    .filter(({ file }) => !held.has(file))
    .map(({ file }) => `ARCHITECTURE.md lists invariants of ${file}, which has none`);
  for (const [file, numbers] of held) {
    const row = listed.get(file);
    if (row === undefined)
      faults.push(`ARCHITECTURE.md does not list ${written(numbers)} of ${file}: add a row`);
    else if (row !== written(numbers))
      faults.push(`ARCHITECTURE.md lists ${row} of ${file}, which has ${written(numbers)}`);
  }
  return faults;
}

/** Numbers that a comment cites, and that neither its file nor a file that it names has. */
export function citationFaults(files: readonly SourceFile[]): readonly string[] {
  const byName = new Map<string, Set<string>>();
  for (const file of files) {
    const name = path.posix.basename(file.path);
    const numbers = byName.get(name) ?? new Set();
    for (const number of numbersOf(file.text)) numbers.add(number);
    byName.set(name, numbers);
  }
  return files.filter(isHeld).flatMap(({ path: file, text }) => {
    const own = new Set([...numbersOf(text), ...OTHERS]);
    const lines = text.split("\n");
    return lines.flatMap((line, i) => {
      if (!COMMENT.test(line)) return [];
      const comment = line.slice(line.search(/\*|\/\//));
      const around = lines.slice(Math.max(0, i - 1), i + 2).join(" ");
      const named = [...around.matchAll(/[\w-]+\.(?:ts|mjs)\b/g)].map(([name]) => byName.get(name));
      return [...comment.matchAll(/\b[A-Z]\d\b/g)]
        .map(([number]) => number)
        .filter((number) => !own.has(number) && !named.some((numbers) => numbers?.has(number)))
        .map((number) => `${file}:${i + 1} cites ${number}, which is not its own: name the file that has it`);
    });
  });
}
