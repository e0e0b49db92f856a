/** The command line of every program: flags from its settings, `print-config`, --help, --version. */
import { Command, CommanderError, Option } from "commander";
import { messageOf } from "../../actors/core/errors.ts";
import { fileKeyOf, flagOf, variableOf, type ConfigOf, type Setting, type Settings } from "./setting.ts";

export interface ProgramSpec<S extends Settings> {
  readonly name: string;
  readonly description: string;
  readonly settings: S;
  /** What no single setting can say: two that exclude each other. Each fault names its flags. */
  readonly check?: (config: ConfigOf<S>) => readonly string[];
}

export interface CommandLine {
  readonly flags: ReadonlyMap<string, string | boolean>;
  readonly configPath: string | undefined;
  readonly wants: "run" | "print-config" | "help" | "version";
  readonly faults: readonly string[];
  readonly helpText: string;
}

export const PRINT_CONFIG = "print-config";

export function parseCommandLine<S extends Settings>(
  spec: ProgramSpec<S>,
  argv: readonly string[],
): CommandLine {
  const command = new Command(spec.name)
    .usage(`[${PRINT_CONFIG}] [options]`)
    .description(
      `${spec.description}\n\nEach setting is a flag, a variable or a key of the file given by --config; ` +
        `a flag wins over a variable, a variable over the file.\n` +
        `"${spec.name} ${PRINT_CONFIG} …" shows what holds, and where each value comes from.`,
    )
    .helpOption(false)
    .exitOverride()
    .configureOutput({ writeErr: () => undefined, writeOut: () => undefined })
    .option("--config <path>", "file of settings, YAML or JSON  [ADTALLY_CONFIG]")
    .option("-h, --help", "this help")
    .option("-V, --version", "the version");
  for (const [name, each] of Object.entries(spec.settings)) addSetting(command, name, each);
  const helpText = command.helpInformation();

  const faults: string[] = [];
  let rest: readonly string[] = [];
  try {
    const { operands, unknown } = command.parseOptions([...argv]);
    rest = [...operands, ...unknown];
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    faults.push(messageOf(error).replace(/^error: /, ""));
  }
  const isAsked = (name: string) => command.getOptionValue(name) === true;
  const [first, ...others] = rest;
  faults.push(...strangers(first === PRINT_CONFIG ? others : rest));
  const given = Object.keys(spec.settings).flatMap((name) => {
    const value: unknown = command.getOptionValue(name);
    return typeof value === "string" || typeof value === "boolean" ? [[name, value] as const] : [];
  });
  const configPath: unknown = command.getOptionValue("config");
  return {
    flags: new Map(given),
    configPath: typeof configPath === "string" ? configPath : undefined,
    wants: isAsked("help")
      ? "help"
      : isAsked("version")
        ? "version"
        : first === PRINT_CONFIG
          ? PRINT_CONFIG
          : "run",
    faults,
    helpText,
  };
}

/** The word behind a flag that there is not was meant as its value. */
function strangers(words: readonly string[]): readonly string[] {
  return words.flatMap((word, at) => {
    if (word.startsWith("-")) return [`${word.split("=")[0]} is not a flag`];
    const before = words[at - 1];
    return before?.startsWith("-") === true && !before.includes("=") ? [] : [`${word} is not expected`];
  });
}

function addSetting(command: Command, name: string, each: Setting<unknown>): void {
  const flag = flagOf(name);
  const { fallback, help, isRequired, kind } = each;
  const shown = fallback === undefined ? "" : JSON.stringify(kind.show(fallback));
  const state = isRequired
    ? "; required"
    : shown === ""
      ? ""
      : `; default ${shown === '""' ? "empty" : shown.replaceAll('"', "")}`;
  const description = `${help}  [${variableOf(name)}, ${fileKeyOf(name)}${state}]`;
  if (kind.placeholder !== "") {
    command.addOption(new Option(`${flag} ${kind.placeholder}`, description));
    return;
  }
  command.addOption(new Option(flag, description));
  command.addOption(new Option(flag.replace("--", "--no-"), "").hideHelp());
}
