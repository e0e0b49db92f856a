/**
 * Everything that must hold before a commit: `npm run verify`. Stops at the first check that
 * does not, with its output and what to do about it.
 */
import { spawn } from "node:child_process";

interface Check {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly remedy: string;
}

const CHECKS: readonly Check[] = [
  { name: "format", command: ["prettier", "--check", "."], remedy: "run `npm run format`" },
  {
    name: "lock file",
    command: ["npm", "ci", "--dry-run", "--ignore-scripts", "--no-audit", "--no-fund"],
    remedy: "package-lock.json does not fit package.json: run `npm install` and commit both",
  },
  { name: "lint", command: ["eslint", "."], remedy: "mend what it names; `npm run lint -- --fix` does some" },
  { name: "types", command: ["tsc", "--noEmit"], remedy: "mend what it names" },
  {
    name: "types of the dashboard",
    command: ["tsc", "--noEmit", "-p", "cmd/dashboard/browser"],
    remedy: "mend what it names",
  },
  {
    name: "tests",
    command: ["vitest", "run"],
    remedy: "mend them; ADTALLY_SEED=… (first line) repeats the same run",
  },
];

function run([command, ...args]: Check["command"]): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

for (const check of CHECKS) {
  process.stdout.write(`${check.name.padEnd(10)} `);
  const started = performance.now();
  const { code, output } = await run(check.command);
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  process.stdout.write(`${code === 0 ? "ok" : "FAILED"} ${seconds} s\n`);
  if (code !== 0) {
    process.stdout.write(`\n${output}\n${check.name}: ${check.remedy}\n`);
    process.exit(1);
  }
}
