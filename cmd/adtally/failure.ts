/**
 * How a command fails: what was wrong, where, what to do, and the code that the process ends with.
 *
 *  F1 A code is never given another meaning; scripts go by them.
 */
export const EXIT = {
  ok: 0,
  /** Refused by adtally, or done in part. */
  failed: 1,
  /** A flag, an argument or a setting is wrong: nothing was asked of anybody. */
  usage: 2,
  /** Nobody answers there, or not now. */
  unreachable: 3,
  /** There is no key, it is not known, or it may not do this. */
  forbidden: 4,
  /** There is no such thing. */
  missing: 5,
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_HELP = `Exit codes:
  0  done
  1  refused, or failed; import: a line was rejected; click: not counted; doctor: something is wrong
  2  a flag, an argument or a setting is wrong; nothing was asked
  3  unreachable: nobody answers there, or not now
  4  the key: there is none, it is not known, or it may not do this
  5  there is no such ad, click, key or dead letter
  130  interrupted`;

export interface FailureExtra {
  readonly where?: string | undefined;
  readonly remedy?: string | undefined;
  readonly cause?: unknown;
}

export class Failure extends Error {
  override readonly name = "Failure";
  readonly exitCode: ExitCode;
  /** Stable, for programs: a problem's code, or one of ours. */
  readonly code: string;
  readonly where: string | undefined;
  readonly remedy: string | undefined;

  constructor(exitCode: ExitCode, code: string, message: string, extra: FailureExtra = {}) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.exitCode = exitCode;
    this.code = code;
    this.where = extra.where;
    this.remedy = extra.remedy;
  }
}

export const usage = (message: string, remedy?: string): Failure =>
  new Failure(EXIT.usage, "USAGE", message, { remedy });

/** As a person reads it. */
export function failureText({ message, code, where, remedy }: Failure): string {
  const lines = [`adtally: ${message}${code === "USAGE" ? "" : ` (${code})`}`];
  if (where !== undefined) lines.push(`  where: ${where}`);
  if (remedy !== undefined) lines.push(`  what to do: ${remedy}`);
  return lines.join("\n");
}

/** The same for `--json`. */
export const failureJson = ({ code, exitCode, message, remedy, where }: Failure): object => ({
  error: { code, message, where, remedy, exit_code: exitCode },
});
