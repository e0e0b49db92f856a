/** What every command begins with: settings read, services at hand, output as asked. */
import { readFileSync } from "node:fs";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { Option, type Command } from "commander";
import { messageOf } from "../../actors/core/errors.ts";
import { systemClock, type Clock } from "../../actors/runtime/clock.ts";
import { flagOf, variableOf, type Settings } from "../config/setting.ts";
import { withSecretFiles } from "../config/secrets.ts";
import { usage } from "./failure.ts";
import { createService, type Service } from "./http.ts";
import { createOutput, type Output } from "./output.ts";
import { readSettings, type DoctorConfig } from "./settings.ts";

export interface Context {
  readonly config: DoctorConfig;
  readonly gateway: Service;
  readonly query: Service;
  readonly output: Output;
  readonly clock: Clock;
  readonly command: Command;
}

export type Options = Readonly<Record<string, unknown>>;
export type Run = (context: Context, options: Options, operands: readonly string[]) => Promise<void>;

export function addSettings(command: Command, settings: Settings): void {
  for (const [name, { fallback, help, kind }] of Object.entries(withSecretFiles(settings))) {
    const state =
      fallback === undefined || fallback === "" ? "" : `; default ${JSON.stringify(kind.show(fallback))}`;
    const flag = kind.placeholder === "" ? flagOf(name) : `${flagOf(name)} ${kind.placeholder}`;
    command.addOption(new Option(flag, `${help}  [${variableOf(name)}${state.replaceAll('"', "")}]`));
  }
}

/** Certificates of that authority are believed from now on. @throws Failure of usage */
function trust(file: string): void {
  try {
    setDefaultCACertificates([...getCACertificates(), readFileSync(file, "utf8")]);
  } catch (error) {
    throw usage(`--ca ${file}: ${messageOf(error)}`, "name a file of certificates in PEM");
  }
}

export function openContext(command: Command): Context {
  const flags: Options = command.optsWithGlobals();
  const config = readSettings({ flags, env: process.env });
  if (config.ca !== undefined) trust(config.ca);
  const timeoutMs = config.timeoutSeconds * 1_000;
  const { key, queryUrl, url } = config;
  return {
    config,
    command,
    clock: systemClock,
    gateway: createService({ name: "gateway", url, key, timeoutMs, flag: "--url" }),
    query: createService({ name: "query service", url: queryUrl, key, timeoutMs, flag: "--query-url" }),
    output: createOutput(flags["json"] === true, flags["color"] !== false),
  };
}

export function runs(command: Command, run: Run): Command {
  return command.action(async () => {
    const operands = command.processedArgs.flatMap((each: unknown) =>
      Array.isArray(each) ? (each as string[]) : typeof each === "string" ? [each] : [],
    );
    await run(openContext(command), command.opts(), operands);
  });
}

/** An option's text, or undefined. */
export function textOf(options: Options, name: string): string | undefined {
  const value = options[name];
  return typeof value === "string" ? value : undefined;
}

/** @throws Failure of usage */
export function countOf(options: Options, name: string, fallback: number, most: number): number {
  const text = textOf(options, name);
  if (text === undefined) return fallback;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > most)
    throw usage(`${flagOf(name)} ${text}: must be a whole number from 1 to ${most}`);
  return value;
}
