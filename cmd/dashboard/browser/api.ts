/**
 * The API as the dashboard asks it: every call with the key that its user gave, every refusal an
 * ApiError that can be shown to a person.
 */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, detail: string) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

const ANSWER_MS = 30_000;

export class Api {
  readonly #key: string;
  /** An empty key: what anyone may see. */
  constructor(key: string) {
    this.#key = key;
  }

  #headers(): Record<string, string> {
    return this.#key === "" ? {} : { authorization: `Bearer ${this.#key}` };
  }

  /** @throws ApiError */
  async ask(path: string, given: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<Response> {
    const query = new URLSearchParams(given).toString();
    const deadline = AbortSignal.timeout(ANSWER_MS);
    let response: Response;
    try {
      response = await fetch(query === "" ? path : `${path}?${query}`, {
        headers: this.#headers(),
        cache: "no-store",
        signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
      });
    } catch (error) {
      if (signal?.aborted === true) throw error;
      if (deadline.aborted)
        throw new ApiError(0, "NO_ANSWER", "The server did not answer within 30 seconds. It is tried again.");
      throw new ApiError(
        0,
        "UNREACHABLE",
        "The server cannot be reached: is it running, and is this machine connected? It is tried again.",
      );
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  /** A stream has no deadline. @throws ApiError */
  async stream(path: string, lastId: string, signal: AbortSignal): Promise<Response> {
    const headers = { ...this.#headers(), accept: "text/event-stream" };
    const response = await fetch(path, {
      headers: lastId === "" ? headers : { ...headers, "last-event-id": lastId },
      cache: "no-store",
      signal,
    });
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  async json<T>(
    path: string,
    given: Readonly<Record<string, string>> = {},
    signal?: AbortSignal,
  ): Promise<T> {
    const response = await this.ask(path, given, signal);
    return (await response.json()) as T;
  }
}

async function problemOf(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => ({}))) as { code?: string; detail?: string };
  const detail = body.detail ?? `The server answered ${response.status} ${response.statusText}.`;
  return new ApiError(response.status, body.code ?? "UNKNOWN", detail);
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
