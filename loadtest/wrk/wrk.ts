/** Runs wrk over a file of tokens, each clicked once (clicks.lua), and reads its figures. */
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { runCommand } from "../../testing/servers/command.ts";
import { installWrk } from "../../testing/servers/wrk-install.ts";

const SCRIPT = fileURLToPath(new URL("clicks.lua", import.meta.url));
/** For what is under way when the time is up: wrk's own end comes this much later. */
const DRAIN_S = 2;
/** wrk counts an answer that takes longer as a timeout, and still waits for it. */
const TIMEOUT_S = 2;

export interface WrkRun {
  readonly url: string;
  /** Tokens of `tokenLength` characters, one a line. */
  readonly tokens: string;
  readonly tokenLength: number;
  /** The first token used, and how many there are to use. */
  readonly first: number;
  readonly count: number;
  readonly seconds: number;
  readonly connections: number;
  readonly threads: number;
}

const wrkFigures = z.object({
  /** Tokens that were sent, and those that the time was too short for. */
  taken: z.int(),
  left: z.int(),
  /** Answers by status: 302, and any other. */
  redirects: z.int(),
  others: z.int(),
  /** From the first request to the last answer. */
  seconds: z.number(),
  p50Us: z.number(),
  p95Us: z.number(),
  p99Us: z.number(),
  p999Us: z.number(),
  maxUs: z.number(),
  socketErrors: z.int(),
  timeouts: z.int(),
});

export type WrkFigures = z.infer<typeof wrkFigures>;

/** @throws Error where wrk cannot be had, or failed */
export async function runWrk(run: WrkRun): Promise<WrkFigures> {
  const { command, env } = await installWrk();
  const { url, connections, threads, seconds } = run;
  const load = [
    "-c",
    connections,
    "-t",
    threads,
    "-d",
    `${seconds + DRAIN_S}s`,
    "--timeout",
    `${TIMEOUT_S}s`,
  ];
  const script = [run.tokens, run.first, run.count, run.tokenLength, seconds, threads];
  const output = await runCommand(command, [...load, "-s", SCRIPT, url, "--", ...script].map(String), {
    env: { ...process.env, ...env },
  });
  const line = output.split("\n").find((each) => each.startsWith("{"));
  if (line === undefined) throw new Error(`wrk gave no figures:\n${output}`);
  return wrkFigures.parse(JSON.parse(line));
}
