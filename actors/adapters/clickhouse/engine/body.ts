/**
 * A request's body: the query's text in memory, an INSERT's data in a file.
 *
 * The engine cannot take binary data inline (it cuts them), and text need not pass through
 * JavaScript strings either; so all data of an INSERT go to a file in the data folder as they
 * arrive, which the engine reads and the caller removes.
 */
import { open, rm, type FileHandle } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { EngineError, bodyTooLarge } from "./errors.ts";
import type { EngineLimits } from "./limits.ts";
import { parseStatement, type Statement } from "./statement.ts";

export interface InsertFile {
  readonly path: string;
  remove(): Promise<void>;
}

export interface ReadQuery {
  /** The whole text, or an INSERT's head: all before its data. */
  readonly text: string;
  readonly statement: Statement;
  /** An INSERT's data. */
  readonly file: InsertFile | undefined;
}

export interface BodyOptions {
  readonly limits: EngineLimits;
  /** A fresh path in the data folder, every time. */
  readonly newFilePath: () => string;
}

async function* unpacked(request: IncomingMessage): AsyncGenerator<Buffer, void> {
  const encoding = request.headers["content-encoding"] ?? "identity";
  if (encoding === "identity") {
    yield* request as AsyncIterable<Buffer>;
    return;
  }
  if (encoding !== "gzip")
    throw new EngineError(415, "UNSUPPORTED_MEDIA_TYPE", `Content-Encoding '${encoding}' is not gzip`);
  try {
    // The generator's consumer sees the error; pipeline's callback only keeps it from being unhandled.
    yield* pipeline(request, createGunzip(), () => undefined) as AsyncIterable<Buffer>;
  } catch (error) {
    throw new EngineError(354, "ZLIB_INFLATE_FAILED", `inflate failed: ${String(error)}`);
  }
}

/** Latin-1 keeps one character a byte, so that positions in the text are positions in the bytes. */
const scannable = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString("latin1");
const fromLatin1 = (text: string): string => Buffer.from(text, "latin1").toString("utf8");

async function spill(
  first: Buffer,
  rest: AsyncGenerator<Buffer, void>,
  { limits, newFilePath }: BodyOptions,
): Promise<InsertFile> {
  const path = newFilePath();
  const remove = () => rm(path, { force: true });
  let file: FileHandle | undefined;
  try {
    file = await open(path, "wx", 0o600);
    let size = first.length;
    if (size > 0) await file.write(first);
    for (;;) {
      const next = await rest.next();
      if (next.done === true) break;
      size += next.value.length;
      if (size > limits.maxBodyBytes) throw bodyTooLarge(limits.maxBodyBytes);
      await file.write(next.value);
    }
    return { path, remove };
  } catch (error) {
    await remove();
    throw error;
  } finally {
    await file?.close();
  }
}

export async function readQuery(
  request: IncomingMessage,
  urlQuery: string,
  options: BodyOptions,
): Promise<ReadQuery> {
  const rest = unpacked(request);
  const chunks: Buffer[] = urlQuery === "" ? [] : [Buffer.from(`${urlQuery}\n`)];
  let size = chunks[0]?.length ?? 0;
  let ended = false;
  for (;;) {
    // An INSERT's head is tried as soon as the text is long, or ended, or came with the URL.
    if (ended || size > options.limits.maxQueryBytes || (chunks.length === 1 && urlQuery !== "")) {
      const text = scannable(chunks);
      const statement = parseStatement(text);
      if (statement.insert !== undefined) {
        const data = Buffer.from(text.slice(statement.insert.dataAt), "latin1");
        const head = fromLatin1(text.slice(0, statement.insert.dataAt));
        return {
          text: head,
          // Positions are those of the decoded head from here on.
          statement: parseStatement(head),
          file: await spill(data, rest, options),
        };
      }
      if (ended) return { text: fromLatin1(text), statement, file: undefined };
      if (size > options.limits.maxQueryBytes)
        throw new EngineError(
          62,
          "SYNTAX_ERROR",
          `Max query size exceeded (${options.limits.maxQueryBytes} bytes)`,
        );
    }
    const next = await rest.next();
    if (next.done === true) ended = true;
    else {
      chunks.push(next.value);
      size += next.value.length;
    }
  }
}
