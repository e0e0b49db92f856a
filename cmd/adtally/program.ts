/** All commands, put together; main.ts runs them. */
import { Argument, Command } from "commander";
import { PROGRAM_VERSION } from "../lib/program.ts";
import { addSettings } from "./command.ts";
import { addAds } from "./commands/ads.ts";
import { addClick } from "./commands/click.ts";
import { addCluster } from "./commands/cluster.ts";
import { addDeadLetters } from "./commands/dead-letters.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addExplain } from "./commands/explain.ts";
import { addKeys } from "./commands/keys.ts";
import { addLive } from "./commands/live.ts";
import { addReport } from "./commands/report.ts";
import { addTokens } from "./commands/tokens.ts";
import { completionScript, SHELLS, type Shell } from "./completion.ts";
import { EXIT_HELP } from "./failure.ts";
import { commonSettings } from "./settings.ts";

const CONFIG_HELP = `Settings stand in flags, variables, or a file of YAML: ~/.config/adtally/config.yaml, or what --config or
ADTALLY_CLI_CONFIG names; the file of a cluster's programs will do. Without any, npm start on this machine is meant.`;

export function createProgram(): Command {
  const program = new Command("adtally")
    .description("Ads, clicks and reports of adtally, from the command line.")
    .version(PROGRAM_VERSION, "-V, --version", "the version")
    .helpOption("-h, --help", "this help")
    .helpCommand("help [command]", "help for a command")
    .option("--json", "JSON on standard output, errors as JSON on standard error")
    .option("--config <path>", "file of settings, YAML or JSON  [ADTALLY_CLI_CONFIG]")
    .option("--no-color", "no colours, on a terminal either  [NO_COLOR]")
    .configureHelp({ showGlobalOptions: true })
    .addHelpText("after", `\n${CONFIG_HELP}\n\n${EXIT_HELP}`)
    // Errors are main.ts's to tell, as JSON where that was asked for.
    .configureOutput({ outputError: () => undefined })
    .exitOverride();
  addSettings(program, commonSettings);
  addAds(program);
  addClick(program);
  addReport(program);
  addLive(program);
  addExplain(program);
  addDeadLetters(program);
  addCluster(program);
  addKeys(program);
  addTokens(program);
  addDoctor(program);
  program
    .command("completion")
    .description("a script that completes commands: source <(npx adtally completion bash)")
    .addArgument(new Argument("<shell>").choices(SHELLS))
    .action((shell: Shell) => void process.stdout.write(completionScript(program, shell)));
  return program;
}
