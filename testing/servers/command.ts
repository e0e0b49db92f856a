/** Runs a command of the machine to its end; what it printed comes with its failure. */
import { spawn } from "node:child_process";

const OUTPUT_CHARS = 4_000;

export async function runCommand(
  command: string,
  args: readonly string[],
  where: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...where });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    }
    child.on("error", (error) => reject(new Error(`${command} cannot be run: ${error.message}`)));
    child.on("close", (code) => {
      if (code === 0) resolve(output);
      else
        reject(new Error(`${command} ${args[0] ?? ""} failed with ${code}:\n${output.slice(-OUTPUT_CHARS)}`));
    });
  });
}

/** Whether the machine has the command at all. */
export async function hasCommand(command: string, ...args: readonly string[]): Promise<boolean> {
  return runCommand(command, args).then(
    () => true,
    () => false,
  );
}
