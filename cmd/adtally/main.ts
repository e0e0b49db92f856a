/** `npx adtally --help`: the command line. Runs one command and ends with its exit code. */
import { CommanderError } from "commander";
import { messageOf } from "../../actors/core/errors.ts";
import { EXIT, Failure, failureJson, failureText, usage } from "./failure.ts";
import { createProgram } from "./program.ts";

const HELP_ASKED = ["commander.helpDisplayed", "commander.version"];

function toFailure(error: unknown): Failure | undefined {
  if (error instanceof Failure) return error;
  if (error instanceof CommanderError) {
    if (HELP_ASKED.includes(error.code) || (error.code === "commander.help" && error.exitCode === 0))
      return undefined;
    // A group without its command: its help has been shown.
    if (error.code === "commander.help") return usage("which of its commands?");
    return usage(
      error.message.replace(/^error: /, ""),
      "adtally help, or --help behind a command, says what there is",
    );
  }
  return new Failure(EXIT.failed, "INTERNAL", messageOf(error), {
    remedy: "this is our fault: please report it, with ADTALLY_DEBUG=1 for where it happened",
    cause: error,
  });
}

// Whoever reads may have read enough: `adtally report | head`.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? EXIT.ok : EXIT.failed);
});

try {
  await createProgram().parseAsync();
} catch (error) {
  const failure = toFailure(error);
  if (failure !== undefined) {
    const isJson = process.argv.includes("--json");
    const text = isJson ? JSON.stringify(failureJson(failure)) : failureText(failure);
    process.stderr.write(`${text}\n`);
    if (process.env["ADTALLY_DEBUG"] === "1" && error instanceof Error)
      process.stderr.write(`${error.stack}\n`);
    process.exitCode = failure.exitCode;
  }
}
