/** Clicks as browsers make them: GET /click?i=TOKEN over kept-alive connections, redirects not followed. */
import { Agent, request } from "node:http";

const REQUEST_DEADLINE_MS = 20_000;

export interface HttpClicks {
  /** The answer's status. Rejects when there is none: the click may or may not have been taken. */
  click(tokenText: string): Promise<{ readonly status: number; readonly location: string | undefined }>;
  close(): void;
}

export function createHttpClicks(port: number, connections: number): HttpClicks {
  const agent = new Agent({ keepAlive: true, maxSockets: connections, scheduling: "fifo" });
  const headers = { "user-agent": "Mozilla/5.0 (X11; Linux x86_64) adtally-loadtest" };
  return {
    click(tokenText) {
      return new Promise((resolve, reject) => {
        const sent = request(
          { agent, host: "127.0.0.1", port, path: `/click?i=${tokenText}`, headers },
          (response) => {
            const { statusCode, headers: answer } = response;
            response.resume();
            response.once("error", reject);
            response.once("end", () => resolve({ status: statusCode ?? 0, location: answer.location }));
          },
        );
        sent.setTimeout(REQUEST_DEADLINE_MS, () => sent.destroy(new Error("no answer in time")));
        sent.once("error", reject);
        sent.end();
      });
    },
    close: () => agent.destroy(),
  };
}
