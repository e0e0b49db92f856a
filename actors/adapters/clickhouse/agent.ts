/**
 * The sockets to one ClickHouse server. What is particular: an idle socket is let go before the
 * server lets it go, so that no request is written into one that is just being closed. How long
 * the server keeps it, it says in its answers' Keep-Alive header (10 s by default, 3 s in old
 * versions). Node's own agent reads that too, but the client resets the timer that it sets.
 */
import { Agent as HttpAgent, type IncomingHttpHeaders } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Duplex } from "node:stream";
import type { Timer } from "../../runtime/clock.ts";
import { httpsAgent } from "../tls/clients.ts";
import type { ResolvedOptions } from "./options.ts";

/** How long before the server a socket is let go: more than a request takes to arrive. */
const MARGIN_MS = 1_000;

export interface ServerAgent {
  readonly agent: HttpAgent;
  /** Takes an answer's headers, before its socket becomes idle. */
  heard(headers: IncomingHttpHeaders): void;
}

export function createAgent(options: ResolvedOptions): ServerAgent {
  const { idleSocketMs, clock } = options;
  const agent = plainAgent(options);
  let idleMs = idleSocketMs;
  const timers = new Map<Duplex, Timer>();
  const watched = new WeakSet<Duplex>();
  const cancel = (socket: Duplex): void => {
    timers.get(socket)?.cancel();
    timers.delete(socket);
  };
  const keep = agent.keepSocketAlive.bind(agent);
  const reuse = agent.reuseSocket.bind(agent);
  agent.keepSocketAlive = (socket) => {
    if (idleMs <= 0) return false;
    cancel(socket);
    timers.set(
      socket,
      clock.after(idleMs, () => socket.destroy()),
    );
    if (!watched.has(socket)) socket.once("close", () => cancel(socket));
    watched.add(socket);
    return keep(socket);
  };
  agent.reuseSocket = (socket, request) => {
    cancel(socket);
    reuse(socket, request);
  };
  return {
    agent,
    heard(headers) {
      const keptS = /timeout=(\d+)/i.exec(String(headers["keep-alive"] ?? ""))?.[1];
      idleMs = keptS === undefined ? idleSocketMs : Math.min(idleSocketMs, Number(keptS) * 1000 - MARGIN_MS);
    },
  };
}

function plainAgent({ url, certificates, maxSockets }: ResolvedOptions): HttpAgent {
  const common = { keepAlive: true, maxSockets };
  if (!url.startsWith("https:")) return new HttpAgent(common);
  return certificates === undefined ? new HttpsAgent(common) : httpsAgent(certificates, common);
}
