/**
 * Clicks over HTTP: GET /click?i=TOKEN over kept-alive connections, redirects not followed. Written
 * on bare sockets: a client is a good part of what a test costs on the machine that it shares.
 *
 *  H1 Answers come in the order of the requests. A connection that ends, or whose oldest request
 *     waits too long, leaves all of its requests without an answer: each may have been taken.
 *  H2 No request is sent on a connection whose last answer said that it is the last.
 *  H3 Where asked, as browsers do: a request that goes out on a kept connection just as the server
 *     closes it, unanswered, is sent once more on another, and nobody is told (RFC 9112, 9.3.1).
 */
import { connect, type Socket } from "node:net";

const REQUEST_DEADLINE_MS = 20_000;
const LOOK_MS = 500;
const HEAD_END = Buffer.from("\r\n\r\n");

export interface HttpAnswer {
  readonly status: number;
  readonly location: string | undefined;
}

export interface HttpClicksOptions {
  readonly host?: string;
  /** H3. */
  readonly resends?: boolean;
}

export interface HttpClicks {
  /** Requests that H3 sent once more. */
  readonly resent: number;
  /** Rejects when no answer came: the click may or may not have been taken. */
  click(tokenText: string): Promise<HttpAnswer>;
  close(): void;
}

interface Asked {
  readonly text: string;
  isAgain?: boolean;
  readonly resolve: (answer: HttpAnswer) => void;
  readonly reject: (error: Error) => void;
}

interface Connection {
  readonly socket: Socket;
  /** Oldest first; none: it is idle. */
  asked: Asked[];
  sinceMs: number;
  got: Buffer;
  hasAnswered: boolean;
}

/**
 * The first answer in `bytes`, where it ends, and whether the server takes no request after it;
 * undefined while it is not whole.
 */
export function parseAnswer(
  bytes: Buffer,
): { readonly answer: HttpAnswer; readonly end: number; readonly isLast: boolean } | undefined {
  const headEnd = bytes.indexOf(HEAD_END);
  if (headEnd < 0) return undefined;
  const head = bytes.toString("latin1", 0, headEnd);
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1];
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (status === undefined || length === undefined) throw new Error(`not an answer that we read: ${head}`);
  const end = headEnd + HEAD_END.length + Number(length);
  if (bytes.length < end) return undefined;
  const location = /\r\nlocation: *([^\r]*)/i.exec(head)?.[1];
  const isLast = /\r\nconnection: *close/i.test(head);
  return { answer: { status: Number(status), location }, end, isLast };
}

/** `pipelined`: requests that one write may take, where more than one wait. */
export function createHttpClicks(
  port: number,
  connections: number,
  pipelined = 1,
  { host = "127.0.0.1", resends = false }: HttpClicksOptions = {},
): HttpClicks {
  const open = new Set<Connection>();
  const idle: Connection[] = [];
  let queue: Asked[] = [];
  let scheduled = false;
  let resent = 0;

  function fail(connection: Connection, error: Error, isClosing = false): void {
    if (!open.delete(connection)) return;
    const at = idle.indexOf(connection);
    if (at >= 0) idle.splice(at, 1);
    connection.socket.destroy();
    for (const asked of connection.asked) {
      if (resends && isClosing && connection.hasAnswered && connection.got.length === 0 && !asked.isAgain) {
        asked.isAgain = true;
        resent += 1;
        queue.unshift(asked);
      } else asked.reject(error);
    }
    connection.asked = [];
    schedule();
  }

  function received(connection: Connection, chunk: Buffer): void {
    const bytes = connection.got.length === 0 ? chunk : Buffer.concat([connection.got, chunk]);
    let at = 0;
    for (;;) {
      const parsed = parseAnswer(bytes.subarray(at));
      if (parsed === undefined) break;
      at += parsed.end;
      const asked = connection.asked.shift();
      if (asked === undefined) throw new Error("an answer that nobody asked for");
      asked.resolve(parsed.answer);
      connection.hasAnswered = true;
      if (parsed.isLast) return fail(connection, new Error("the server takes no more on this connection"));
    }
    connection.got = bytes.subarray(at);
    connection.sinceMs = performance.now();
    if (connection.asked.length > 0) return;
    idle.push(connection);
    if (queue.length > 0) schedule();
  }

  function connectOne(): Connection {
    const socket = connect({ port, host, noDelay: true });
    const connection: Connection = {
      socket,
      asked: [],
      sinceMs: performance.now(),
      got: Buffer.alloc(0),
      hasAnswered: false,
    };
    open.add(connection);
    socket.on("data", (chunk: Buffer) => {
      try {
        received(connection, chunk);
      } catch (error) {
        fail(connection, error as Error);
      }
    });
    socket.on("error", (error) => fail(connection, error, true));
    socket.on("close", () => fail(connection, new Error("the connection ended"), true));
    return connection;
  }

  function flush(): void {
    scheduled = false;
    while (queue.length > 0) {
      const connection = idle.pop() ?? (open.size < connections ? connectOne() : undefined);
      if (connection === undefined) return;
      connection.asked = queue.splice(0, pipelined);
      connection.sinceMs = performance.now();
      connection.socket.write(connection.asked.map(({ text }) => text).join(""), "latin1");
    }
  }

  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(flush);
  }

  const timer = setInterval(() => {
    for (const connection of open) {
      const waits =
        connection.asked.length > 0 && performance.now() - connection.sinceMs > REQUEST_DEADLINE_MS;
      if (waits) fail(connection, new Error("no answer in time"));
    }
  }, LOOK_MS);

  return {
    get resent() {
      return resent;
    },
    click: (tokenText) =>
      new Promise((resolve, reject) => {
        const text =
          `GET /click?i=${tokenText} HTTP/1.1\r\nHost: ${host}:${port}\r\n` +
          `User-Agent: Mozilla/5.0 (X11; Linux x86_64) adtally-loadtest\r\n\r\n`;
        queue.push({ text, resolve, reject });
        schedule();
      }),
    close() {
      clearInterval(timer);
      const left = queue;
      queue = [];
      for (const { reject } of left) reject(new Error("closed"));
      for (const connection of open) fail(connection, new Error("closed"));
    },
  };
}
