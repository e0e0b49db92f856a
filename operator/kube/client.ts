/**
 * Requests to the Kubernetes API server. Who we are, and by which authority the server is known, is
 * @kubernetes/client-node's to say (a kubeconfig, or the pod's service account); its typed clients are
 * not used: they make a TLS connection for every request, and know no deadline.
 *
 *  C1 Every request has a deadline, its answer's last byte included. One that was not answered in time
 *     may have been done.
 *  C2 Connections on which nothing was answered in time are not used again: a network that swallows
 *     packets is not waited for until TCP gives up.
 *  C3 Credentials are read anew every minute, and at once where the server no longer knows us: tokens
 *     of service accounts rotate.
 */
import {
  HttpMethod,
  IsomorphicFetchHttpLibrary,
  RequestContext,
  type KubeConfig,
} from "@kubernetes/client-node";
import { AdtallyError, isAdtallyError, messageOf, type ErrorCode } from "../../actors/core/errors.ts";
import type { Clock } from "../../actors/runtime/clock.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface KubeRequest {
  readonly query?: Query;
  readonly body?: object;
  /** Of a PATCH: what kind of one it is. */
  readonly contentType?: string;
  readonly deadlineMs?: number;
}

export interface KubeClient {
  /** @throws KUBERNETES_UNAVAILABLE, KUBERNETES_CONFLICT, KUBERNETES_REFUSED, NOT_FOUND, DEADLINE_EXCEEDED */
  send<T>(method: Method, path: string, request?: KubeRequest): Promise<T>;
  /**
   * The lines of an answer that does not end by itself, until `signal`; `openedWithinMs` bounds the
   * wait for its beginning. @throws as `send`
   */
  stream(path: string, query: Query, signal: AbortSignal, onLine: (line: string) => void): Promise<void>;
  close(): Promise<void>;
}

export interface KubeClientDeps {
  readonly config: KubeConfig;
  readonly deadlineMs: number;
  readonly userAgent: string;
  readonly clock: Clock;
  /** Of each answer, 0 where there was none. */
  readonly onAnswer?: (method: Method, status: number) => void;
}

type Dispatcher = NonNullable<ReturnType<RequestContext["getDispatcher"]>>;

interface Access {
  readonly headers: Readonly<Record<string, string>>;
  readonly dispatcher: Dispatcher | undefined;
  readonly readAtMs: number;
}

const ACCESS_MS = 60_000;
const JSON_TYPE = "application/json";
/** What stands in a status that the API server answers with. */
const MESSAGE_MAX = 1_000;

export function createKubeClient(deps: KubeClientDeps): KubeClient {
  const { config, clock, deadlineMs, userAgent, onAnswer } = deps;
  const http = new IsomorphicFetchHttpLibrary();
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new AdtallyError("CONFIG_INVALID", "the kubeconfig names no cluster");
  let access: Access | undefined;

  /** C2, C3. What is under way on the former connections goes on. */
  function forget(which: Access | undefined): void {
    if (which === undefined || access !== which) return;
    access = undefined;
    void which.dispatcher?.close().catch(() => undefined);
  }

  async function accessNow(): Promise<Access> {
    const nowMs = clock.monotonic();
    if (access !== undefined && nowMs - access.readAtMs > ACCESS_MS) forget(access);
    if (access !== undefined) return access;
    const context = new RequestContext(server!, HttpMethod.GET);
    await config.applySecurityAuthentication(context);
    const made: Access = {
      headers: context.getHeaders(),
      dispatcher: context.getDispatcher(),
      readAtMs: nowMs,
    };
    access ??= made;
    return access;
  }

  async function open(method: Method, path: string, request: KubeRequest, signal: AbortSignal) {
    const url = new URL(server + path);
    for (const [name, value] of Object.entries(request.query ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const context = new RequestContext(url.toString(), HttpMethod[method]);
    const used = await accessNow();
    for (const [name, value] of Object.entries(used.headers)) context.setHeaderParam(name, value);
    context.setHeaderParam("Accept", JSON_TYPE);
    context.setHeaderParam("User-Agent", userAgent);
    if (request.body !== undefined) {
      context.setHeaderParam("Content-Type", request.contentType ?? JSON_TYPE);
      context.setBody(JSON.stringify(request.body));
    }
    if (used.dispatcher !== undefined) context.setDispatcher(used.dispatcher);
    context.setSignal(signal);
    const answer = await http.send(context).toPromise();
    if (answer.httpStatusCode === 401) forget(used);
    return answer;
  }

  /** C1 */
  async function within<T>(what: string, ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const used = access;
    let isLate = false;
    const timer = clock.after(ms, () => {
      isLate = true;
      controller.abort();
    });
    try {
      return await work(controller.signal);
    } catch (error) {
      if (isAdtallyError(error)) throw error;
      forget(used ?? access);
      if (isLate) throw new AdtallyError("DEADLINE_EXCEEDED", `${what}: no answer within ${ms} ms`);
      throw new AdtallyError("KUBERNETES_UNAVAILABLE", `${what}: ${reasonOf(error)}`, { cause: error });
    } finally {
      timer.cancel();
    }
  }

  return {
    async send<T>(method: Method, path: string, request: KubeRequest = {}): Promise<T> {
      const what = `${method} ${path}`;
      try {
        return await within(what, request.deadlineMs ?? deadlineMs, async (signal) => {
          const answer = await open(method, path, request, signal);
          const text = await answer.body.text();
          onAnswer?.(method, answer.httpStatusCode);
          if (answer.httpStatusCode >= 300) throw errorOf(what, answer.httpStatusCode, text);
          return (text === "" ? {} : JSON.parse(text)) as T;
        });
      } catch (error) {
        if (isAdtallyError(error, "DEADLINE_EXCEEDED") || isAdtallyError(error, "KUBERNETES_UNAVAILABLE"))
          onAnswer?.(method, 0);
        throw error;
      }
    },

    async stream(path, query, signal, onLine) {
      const what = `GET ${path}?watch`;
      const ending = new AbortController();
      const end = () => ending.abort();
      signal.addEventListener("abort", end, { once: true });
      try {
        const body = await within(what, deadlineMs, async (opening) => {
          opening.addEventListener("abort", end, { once: true });
          const answer = await open("GET", path, { query }, ending.signal);
          if (answer.httpStatusCode >= 300)
            throw errorOf(what, answer.httpStatusCode, await answer.body.text());
          return answer.body.stream();
        });
        if (body === null) return;
        await readLines(body, onLine);
      } catch (error) {
        if (signal.aborted) return;
        if (isAdtallyError(error)) throw error;
        throw new AdtallyError("KUBERNETES_UNAVAILABLE", `${what}: ${reasonOf(error)}`, { cause: error });
      } finally {
        signal.removeEventListener("abort", end);
        end();
      }
    },

    async close() {
      const last = access;
      access = undefined;
      await last?.dispatcher?.destroy().catch(() => undefined);
    },
  };
}

async function readLines(body: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) if (line !== "") onLine(line);
  }
}

function errorOf(what: string, status: number, text: string): AdtallyError {
  let said = text;
  let reason = "";
  try {
    const parsed = JSON.parse(text) as { readonly message?: string; readonly reason?: string };
    said = parsed.message ?? text;
    reason = parsed.reason ?? "";
  } catch {
    // Not a Status: something between us and the API server answered.
  }
  return new AdtallyError(codeOf(status, reason), `${what}: ${status} ${said.slice(0, MESSAGE_MAX)}`);
}

function codeOf(status: number, reason: string): ErrorCode {
  if (status === 404) return "NOT_FOUND";
  if (status === 409) return "KUBERNETES_CONFLICT";
  // Gone or expired: what was asked for has been compacted away.
  if (status === 410 || reason === "Expired") return "OFFSET_OUT_OF_RANGE";
  if (status === 401 || status === 408 || status === 429 || status >= 500) return "KUBERNETES_UNAVAILABLE";
  return status === 403 ? "PERMISSION_DENIED" : "KUBERNETES_REFUSED";
}

/** fetch says no more than that it failed; why stands in the cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error ? `${messageOf(error)}: ${messageOf(cause)}` : messageOf(error);
}
