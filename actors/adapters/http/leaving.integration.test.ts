/** A server that is about to end, while others still send to it: Endpoints change after SIGTERM, not before. */
import { Agent, get } from "node:http";
import { once } from "node:events";
import { expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { systemClock as clock } from "../../runtime/clock.ts";
import { createClickServer } from "./click-server.ts";
import type { IncomingMessage, ServerResponse } from "node:http";

it("while it leaves, answers close their connections, and new ones are served all the same", async () => {
  let isLeaving = false;
  const answer = (_request: IncomingMessage, response: ServerResponse) => void response.writeHead(302).end();
  const limits = { ...DEFAULT_LIMITS, drainDeadlineMs: 1_000 };
  const parts = { clicks: answer, others: answer, clock, limits, isLeaving: () => isLeaving };
  const server = createClickServer(parts);
  const port = await server.listen("127.0.0.1", 0);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = async () => {
    const request = get({ port, path: "/click", agent });
    const [response] = (await once(request, "response")) as [IncomingMessage];
    response.resume();
    await once(response, "end");
    return [response.statusCode, response.headers.connection, request.reusedSocket];
  };
  expect(await ask()).toEqual([302, "keep-alive", false]);
  expect(await ask()).toEqual([302, "keep-alive", true]);
  isLeaving = true;
  expect(await ask()).toEqual([302, "close", true]);
  expect(await ask()).toEqual([302, "close", false]);
  agent.destroy();
  await server.drain();
});
