/** Whose key it is: GET /v1/whoami. */
import type { Api } from "./api.ts";

export interface Whoami {
  readonly key_id: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly advertisers: "all" | readonly string[];
}

export const whoami = (api: Api, signal?: AbortSignal): Promise<Whoami> =>
  api.json<Whoami>("/v1/whoami", {}, signal);
