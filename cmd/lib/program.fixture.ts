/** Programs as their users have them: real processes, told by flags, heard by their output. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

const START_MS = 45_000;

export interface RunningProgram {
  readonly pid: number;
  /** All of both outputs so far. */
  output(): string;
  /** The first structured line with this message, once there is one. */
  line(message: string): Promise<Readonly<Record<string, unknown>>>;
  signal(name: NodeJS.Signals): void;
  /** Resolves with the exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** SIGTERM, and how it ended. */
  stop(): Promise<{ readonly code: number | NodeJS.Signals; readonly tookMs: number }>;
}

export function startProgram(
  name: string,
  args: readonly (string | number)[],
  env: Readonly<Record<string, string>> = {},
): RunningProgram {
  const child = spawn(process.execPath, [`cmd/${name}/main.ts`, ...args.map(String)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const ended = once(child, "close").then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  // A test that fails leaves nothing behind.
  const onExit = () => child.kill("SIGKILL");
  process.once("exit", onExit);
  void ended.then(() => process.off("exit", onExit));
  return {
    pid: child.pid ?? -1,
    output: () => output,
    async line(message) {
      for (const deadline = performance.now() + START_MS; performance.now() < deadline; await sleep(25)) {
        for (const text of output.split("\n")) {
          if (!text.startsWith("{") || !text.includes(`"msg":"${message}"`)) continue;
          return JSON.parse(text) as Record<string, unknown>;
        }
        if (child.exitCode !== null) break;
      }
      throw new Error(`${name} never said "${message}":\n${output}`);
    },
    signal: (signal) => void child.kill(signal),
    ended,
    async stop() {
      const startedAt = performance.now();
      child.kill("SIGTERM");
      return { code: await ended, tookMs: performance.now() - startedAt };
    },
  };
}

/** Its whole output and how it ended. */
export async function runToEnd(
  name: string,
  args: readonly (string | number)[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number | NodeJS.Signals; readonly output: string }> {
  const program = startProgram(name, args, env);
  return { code: await program.ended, output: program.output() };
}
