/** `npm run dev-ca`: certificates for adtally's programs on one machine or a laptop's network. */
import { isIP } from "node:net";
import { Command, InvalidArgumentError, Option } from "commander";
import { PROGRAMS, type Program } from "../../actors/adapters/tls/names.ts";
import { isAdtallyError } from "../../actors/core/errors.ts";
import { makeDevCa } from "./make.ts";

const DNS_NAME = /^(\*\.)?([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z0-9-]{1,63}$/;
const MOST_DAYS = 3_650;

function hosts(text: string, before: readonly string[] | undefined): readonly string[] {
  if (isIP(text) === 0 && !DNS_NAME.test(text)) {
    throw new InvalidArgumentError("a DNS name or an IP address, without a port.");
  }
  return [...(before ?? []), text];
}

function days(text: string): number {
  const value = Number(text);
  if (!/^\d{1,4}$/.test(text) || value < 1 || value > MOST_DAYS) {
    throw new InvalidArgumentError(`a number of days from 1 to ${MOST_DAYS}.`);
  }
  return value;
}

interface Flags {
  readonly dir: string;
  readonly host?: readonly string[];
  readonly program: readonly Program[];
  readonly days: number;
  readonly renew?: true;
  readonly force?: true;
}

const command = new Command("npm run dev-ca --")
  .description(
    "Makes a certificate authority for development and a certificate for each program of adtally: " +
      "DIR/ca.crt, DIR/ca.key, DIR/gateway.crt, DIR/gateway.key and so on (mode 600). Programs that run " +
      "take renewed files up by themselves. Keep ca.key where no program can read it. In production let " +
      "cert-manager, Vault or your own authority issue them, each with the program's name as a URI: " +
      "spiffe://adtally/gateway, spiffe://adtally/actor.",
  )
  .addOption(new Option("--dir <folder>", "where the files go").default("certs"))
  .addOption(
    new Option(
      "--host <name or IP>",
      "where programs are reached; may be given many times (default: localhost, 127.0.0.1, ::1)",
    ).argParser(hosts),
  )
  .addOption(new Option("--program <names...>", "whom to make one for").choices(PROGRAMS).default(PROGRAMS))
  .addOption(new Option("--days <count>", "how long they are valid").argParser(days).default(365))
  .addOption(new Option("--renew", "new certificates of the authority that is there").conflicts("force"))
  .addOption(new Option("--force", "make all anew, the authority too"))
  .allowExcessArguments(false)
  .parse();

const flags = command.opts<Flags>();
try {
  const made = await makeDevCa({
    dir: flags.dir,
    hosts: flags.host ?? ["localhost", "127.0.0.1", "::1"],
    programs: flags.program,
    days: flags.days,
    over: flags.renew === true ? "renew" : flags.force === true ? "force" : "nothing",
    nowMs: Date.now(),
  });
  for (const { path, what, notAfter } of made) {
    console.log(`${path}  ${what}  valid until ${notAfter.toISOString()}`);
  }
} catch (error) {
  if (!isAdtallyError(error)) throw error;
  console.error(`dev-ca: ${error.message}`);
  process.exitCode = 1;
}
