/**
 * What the HTTP server must know of a query's text before the engine gets it. Not a parser:
 * a scanner of tokens that respects strings, quoted names and comments.
 *
 *  T1 Nothing inside a string, a quoted name, a comment or an INSERT's data is taken for SQL.
 *  T2 One request holds one statement, as over ClickHouse's own HTTP.
 *  T3 INTO OUTFILE and FROM INFILE are refused: in a server they are the client's business,
 *     and the embedded engine would touch the server's files.
 *  T4 SYSTEM SHUTDOWN and SYSTEM KILL are refused: the engine signals its whole process group,
 *     and with it whoever started it.
 *  T5 What reaches out of the database, to files, hosts or programs, is named: over the port it is
 *     refused, for the port has no password and the engine every right of its user.
 */
import { EngineError } from "./errors.ts";

export interface InsertData {
  readonly format: string;
  /** Where the data begin in the text; all before it is the head. */
  readonly dataAt: number;
  /** Where the head's FORMAT or VALUES clause begins. */
  readonly formatAt: number;
  /** Where `FROM INFILE` may be put: before SETTINGS, else before the format. */
  readonly infileAt: number;
  /** The `input('structure')` of an INSERT … SELECT. */
  readonly input: { readonly start: number; readonly end: number; readonly structure: string } | undefined;
}

export interface Statement {
  /** First keyword in capitals; empty for an empty query. */
  readonly verb: string;
  readonly hasInsert: boolean;
  readonly isTemporary: boolean;
  /** A function or table engine that would leave the database for files, hosts or programs (T5). */
  readonly reachesOutside: string | undefined;
  /** The FORMAT clause of a query with output. */
  readonly outputFormat: string | undefined;
  /** Names of {name:Type} placeholders. */
  readonly parameters: ReadonlySet<string>;
  /** For an INSERT that brings data. */
  readonly insert: InsertData | undefined;
}

interface Token {
  readonly kind: "word" | "string" | "name" | "mark";
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly depth: number;
}

const SPACE_OR_COMMENT = /(?:\s+|--[^\n]*|#![^\n]*|# [^\n]*|\/\*[^]*?\*\/)+/y;
const WORD = /[A-Za-z_][A-Za-z0-9_]*|[0-9][A-Za-z0-9_.]*/y;
const STRING = /'(?:[^'\\]|\\[^]|'')*'/y;
const NAME = /"(?:[^"\\]|\\[^]|"")*"|`(?:[^`\\]|\\[^]|``)*`/y;
const HEREDOC = /\$([A-Za-z0-9_]*)\$[^]*?\$\1\$/y;
const KINDS = [
  ["word", WORD],
  ["string", STRING],
  ["name", NAME],
  ["string", HEREDOC],
] as const;

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

function* tokens(text: string): Generator<Token, void> {
  let at = 0;
  let depth = 0;
  scan: while (at < text.length) {
    const space = matchAt(SPACE_OR_COMMENT, text, at);
    if (space !== undefined) {
      at += space.length;
      continue;
    }
    for (const [kind, pattern] of KINDS) {
      const found = matchAt(pattern, text, at);
      if (found === undefined) continue;
      yield { kind, text: found, start: at, end: at + found.length, depth };
      at += found.length;
      continue scan;
    }
    const mark = text[at]!;
    if (mark === ")" || mark === "]") depth -= 1;
    yield { kind: "mark", text: mark, start: at, end: at + 1, depth };
    if (mark === "(" || mark === "[") depth += 1;
    at += 1;
  }
}

/** ClickHouse skips blanks and one line end behind FORMAT's name; what follows is data. */
function dataStart(text: string, at: number): number {
  let next = at;
  while (text[next] === " " || text[next] === "\t" || text[next] === "\f") next += 1;
  if (text[next] === "\r") next += 1;
  if (text[next] === "\n") next += 1;
  return next;
}

const unquote = (literal: string): string =>
  literal.slice(1, -1).replaceAll(/\\([^])|''/g, (_, escaped: string | undefined) => escaped ?? "'");

/** As table functions, as table engines, and as sources of dictionaries. */
const OUTSIDE = new Set(
  [
    "file",
    "url",
    "s3",
    "gcs",
    "oss",
    "cosn",
    "hdfs",
    "remote",
    "remotesecure",
    "mysql",
    "postgresql",
    "mongodb",
  ]
    .concat([
      "redis",
      "sqlite",
      "odbc",
      "jdbc",
      "executable",
      "executablepool",
      "http",
      "clickhouse",
      "arrowflight",
    ])
    .concat(["iceberg", "deltalake", "hudi", "paimon", "azureblobstorage", "nats", "rabbitmq", "python"])
    .flatMap((name) => [name, `${name}cluster`, `${name}local`, `${name}s3`, `${name}azure`, `${name}hdfs`]),
);

export function parseStatement(text: string): Statement {
  let verb = "";
  let hasInsert = false;
  let isTemporary = false;
  let reachesOutside: string | undefined;
  let outputFormat: string | undefined;
  let settingsAt: number | undefined;
  let selects = false;
  let ended = false;
  let input: { start: number; end: number; structure: string } | undefined;
  const parameters = new Set<string>();
  const recent: Token[] = [];
  const result = (insert: InsertData | undefined): Statement => {
    return { verb, hasInsert, isTemporary, reachesOutside, outputFormat, parameters, insert };
  };

  for (const token of tokens(text)) {
    if (ended) throw new EngineError(62, "SYNTAX_ERROR", "Syntax error: Multi-statements are not allowed");
    const word = token.kind === "word" ? token.text.toUpperCase() : "";
    const last = recent.at(-1);
    const lastWord = last?.kind === "word" ? last.text.toUpperCase() : "";
    if (verb === "" && word !== "") verb = word;
    if (word === "INSERT" && token.depth === 0) hasInsert = true;
    if (word === "TEMPORARY") isTemporary = true;
    if (word === "OUTFILE" && lastWord === "INTO")
      throw new EngineError(358, "INTO_OUTFILE_NOT_ALLOWED", "INTO OUTFILE is not allowed");
    if (word === "INFILE" && lastWord === "FROM")
      throw new EngineError(48, "NOT_IMPLEMENTED", "FROM INFILE is the client's business: send the data");
    if (verb === "SYSTEM" && lastWord === "SYSTEM" && (word === "SHUTDOWN" || word === "KILL"))
      throw new EngineError(497, "ACCESS_DENIED", `SYSTEM ${word} is not allowed: stop the program itself`);
    if (token.text === "(" && last !== undefined && last.kind !== "mark") {
      const called = (last.kind === "word" ? last.text : last.text.slice(1, -1)).toLowerCase();
      if (OUTSIDE.has(called)) reachesOutside ??= called;
    }
    if (token.text === ":" && last?.kind === "word" && recent.at(-2)?.text === "{") parameters.add(last.text);
    if (token.text === ";" && token.depth === 0) ended = true;

    const [structure, open, call] = [last, recent.at(-2), recent.at(-3)];
    if (
      hasInsert &&
      token.text === ")" &&
      structure?.kind === "string" &&
      open?.text === "(" &&
      call?.text.toLowerCase() === "input"
    )
      input = { start: call.start, end: token.end, structure: unquote(structure.text) };

    if (token.depth === 0 && !ended) {
      if (word === "SELECT" || word === "WITH" || word === "WATCH") selects = true;
      if (word === "SETTINGS" && settingsAt === undefined) settingsAt = token.start;
      if (hasInsert && !selects && word === "VALUES" && !["FORMAT", "INTO", "TABLE"].includes(lastWord)) {
        const infileAt = settingsAt ?? token.start;
        return result({ format: "Values", dataAt: token.end, formatAt: token.start, infileAt, input });
      }
      if (lastWord === "FORMAT" && word !== "" && last !== undefined) {
        if (hasInsert && (!selects || input !== undefined)) {
          const dataAt = dataStart(text, text[token.end] === ";" ? token.end + 1 : token.end);
          const infileAt = settingsAt ?? last.start;
          return result({ format: token.text, dataAt, formatAt: last.start, infileAt, input });
        }
        outputFormat = token.text;
      }
    }
    recent.push(token);
    if (recent.length > 3) recent.shift();
  }
  return result(undefined);
}
