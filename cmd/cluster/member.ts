/**
 * One process of the cluster: started and waited for, ended by its pid, started again on the same
 * ports and folders. What it says goes to a file of its own; a start that fails quotes its end.
 *
 *  M1 `kill` and `stop` resolve when the process is gone.
 *  M2 Of starts and ends of one member, one is under way at a time.
 *  M3 Of members that start together the first that fails is told of, at once: others may be
 *     waiting for it, and would for long.
 */
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startProcess, type ServerProcess } from "../../testing/servers/process.ts";

export interface Member {
  readonly name: string;
  /** Undefined before its first start. */
  readonly pid: number | undefined;
  readonly isRunning: boolean;
  /** Starts after the first. */
  readonly restarts: number;
  /** Of this life, by performance.now(). */
  readonly startedAtMs: number;
  /** 0 after a stop in good order. */
  readonly exitCode: number | null;
  readonly logFile: string;
  /** http://127.0.0.1:PORT of /readyz and /metrics; undefined where it has none. */
  readonly admin: string | undefined;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGTERM, and SIGKILL where that does not do in time. */
  stop(): Promise<void>;
  /**
   * Nothing where it runs. Resolves when it is ready, or, where asked, as soon as it is there.
   * A program whose start is given up is killed; a server of others is waited for.
   */
  start(until?: "ready" | "alive", givenUp?: AbortSignal): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

/** What testing/servers gives for a broker or Redis. */
interface RunningServer {
  readonly pid: number;
  readonly isRunning: boolean;
  kill(): Promise<void>;
  stop(): Promise<void>;
  restart(): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

interface Life {
  readonly pid: number;
  readonly isRunning: boolean;
  readonly exitCode: number | null;
  kill(): Promise<void>;
  stop(): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

interface MemberSpec {
  readonly name: string;
  readonly logFile: string;
  readonly admin?: string;
  launch(until: "ready" | "alive", givenUp?: AbortSignal): Promise<Life>;
}

function createMember({ name, logFile, admin, launch }: MemberSpec): Member {
  let life: Life | undefined;
  let restarts = -1;
  let startedAtMs = 0;
  let turn: Promise<void> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const run = turn.then(work);
    turn = run.catch(() => undefined);
    return run;
  };
  return {
    name,
    logFile,
    admin,
    get pid() {
      return life?.pid;
    },
    get isRunning() {
      return life?.isRunning ?? false;
    },
    get restarts() {
      return Math.max(0, restarts);
    },
    get startedAtMs() {
      return startedAtMs;
    },
    get exitCode() {
      return life?.exitCode ?? null;
    },
    kill: () => inTurn(async () => life?.kill()),
    stop: () => inTurn(async () => life?.stop()),
    start: (until = "ready", givenUp) =>
      inTurn(async () => {
        if (life?.isRunning) return;
        const beganAtMs = performance.now();
        life = await launch(until, givenUp);
        startedAtMs = beganAtMs;
        restarts += 1;
      }),
    signal: (signal) => life?.signal(signal),
  };
}

export interface ProgramSpec {
  readonly name: string;
  /** From the root of the checkout: cmd/actor/main.ts. */
  readonly main: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly logFile: string;
  /** Answers 200 when the program is there, … */
  readonly aliveUrl: string;
  /** … and when it is ready. */
  readonly readyUrl: string;
  readonly admin?: string;
}

const ROOT = path.resolve(import.meta.dirname, "../..");
const READY_MS = 90_000;
/** A program drains for 20 s at the most. */
const STOP_MS = 25_000;
const LOOK_MS = 100;
const ANSWER_MS = 1_000;

/** What Node compiled of our sources: a program that was killed is back in a third of the time. */
const COMPILED = path.join(ROOT, ".cache", "compiled");

/** A program of adtally, on the Node that runs us. */
export function programMember(spec: ProgramSpec): Member {
  const { name, main, args, env = {}, logFile, aliveUrl, readyUrl, admin } = spec;
  const launch = (until: "ready" | "alive", givenUp?: AbortSignal): Promise<ServerProcess> =>
    startProcess({
      name: `${name} (its log: ${logFile})`,
      command: process.execPath,
      args: [path.join(ROOT, main), ...args],
      env: { NODE_COMPILE_CACHE: COMPILED, ...withoutOwnSettings(), ...env },
      logFile,
      isReady: async () => {
        const answer = await statusOf(until === "ready" ? readyUrl : aliveUrl);
        if (answer !== 200) await sleep(LOOK_MS);
        return answer === 200;
      },
      readyMs: READY_MS,
      stopMs: STOP_MS,
      ...(givenUp !== undefined && { signal: givenUp }),
    });
  return createMember({ name, logFile, launch, ...(admin !== undefined && { admin }) });
}

/** A server of others; `first` starts it, and makes it restartable. */
export function serverMember(name: string, logFile: string, first: () => Promise<RunningServer>): Member {
  let server: RunningServer | undefined;
  const launch = async (): Promise<Life> => {
    if (server === undefined) server = await first();
    else await server.restart();
    const started = server;
    return {
      get pid() {
        return started.pid;
      },
      get isRunning() {
        return started.isRunning;
      },
      exitCode: null,
      kill: () => started.kill(),
      stop: () => started.stop(),
      signal: (signal) => started.signal(signal),
    };
  };
  return createMember({ name, logFile, launch });
}

/** M3. Resolves when all are ready; where one fails, when no start is under way any more. */
export async function startTogether(members: readonly Member[]): Promise<void> {
  const failing = new AbortController();
  const starts = members.map((member) =>
    member.start("ready", failing.signal).catch((error: unknown) => {
      failing.abort();
      throw error;
    }),
  );
  try {
    await Promise.all(starts);
  } catch (error) {
    await Promise.allSettled(starts);
    throw error;
  }
}

/** What whoever starts the cluster has set for a program of their own must not reach its programs. */
function withoutOwnSettings(): Record<string, undefined> {
  const own = Object.keys(process.env).filter((name) => name.startsWith("ADTALLY_"));
  return Object.fromEntries(own.map((name) => [name, undefined]));
}

async function statusOf(url: string): Promise<number> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) });
    await response.body?.cancel();
    return response.status;
  } catch {
    return 0;
  }
}
