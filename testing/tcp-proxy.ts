/**
 * A TCP proxy on loopback that fails on demand: what a test puts between a client and a server.
 *
 *   hold       bytes of one direction, or both, stop; none is lost, all arrive after `heal` (a
 *              network cut off, one way or both ways)
 *   forget     the server's side is closed and the client is told nothing (half open)
 *   loseAnswer a request passes, its answer never comes back, then the connection breaks
 *   refuse     connections break, and new ones are closed as soon as they are made
 */
import { connect, createServer, type Socket } from "node:net";

export type Direction = "to-server" | "to-client" | "both";

export interface TcpProxy {
  readonly port: number;
  readonly address: string;
  /** Connections open now. */
  readonly connections: number;
  hold(direction: Direction): void;
  forget(): void;
  /** The next request that `isMeant` takes (by the chunk that it begins) loses its answer. */
  loseAnswer(isMeant?: (chunk: Buffer) => boolean): void;
  /** How many answers were lost so far: proof that the fault fired. */
  readonly lostAnswers: number;
  refuse(): void;
  /** Ends every fault; connections that are broken stay so. */
  heal(): void;
  /** Breaks every connection that is open now. */
  breakAll(): void;
  close(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  isAnswerLost: boolean;
  isForgotten: boolean;
}

export interface TcpProxyOptions {
  readonly targetPort: number;
  readonly targetHost?: string;
  readonly port?: number;
}

export async function startTcpProxy(options: TcpProxyOptions): Promise<TcpProxy> {
  const { targetPort, targetHost = "127.0.0.1", port = 0 } = options;
  const pairs = new Set<Pair>();
  let held: Direction | undefined;
  let isRefusing = false;
  let lostAnswers = 0;
  let isMeantToLose: ((chunk: Buffer) => boolean) | undefined;

  const holds = (direction: Direction): boolean => held === "both" || held === direction;
  const apply = ({ client, server }: Pair): void => {
    if (holds("to-server")) client.pause();
    else client.resume();
    if (holds("to-client")) server.pause();
    else server.resume();
  };
  const breakPair = (pair: Pair): void => {
    pair.client.destroy();
    pair.server.destroy();
    pairs.delete(pair);
  };

  const listener = createServer((client) => {
    if (isRefusing) return void client.destroy();
    const server = connect({ host: targetHost, port: targetPort, noDelay: true });
    client.setNoDelay(true);
    const pair: Pair = { client, server, isAnswerLost: false, isForgotten: false };
    pairs.add(pair);
    client.on("data", (chunk: Buffer) => {
      if (pair.isForgotten) return;
      if (isMeantToLose?.(chunk) === true) {
        isMeantToLose = undefined;
        pair.isAnswerLost = true;
      }
      if (!server.write(chunk)) client.pause();
    });
    server.on("data", (chunk: Buffer) => {
      if (pair.isAnswerLost) {
        lostAnswers += 1;
        breakPair(pair);
      } else if (!client.write(chunk)) server.pause();
    });
    client.on("drain", () => apply(pair));
    server.on("drain", () => apply(pair));
    const onEnd = (): void => {
      if (!pair.isForgotten) breakPair(pair);
    };
    for (const socket of [client, server]) socket.on("error", onEnd).on("close", onEnd);
    apply(pair);
  });
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(port, "127.0.0.1", resolve);
  });
  const bound = listener.address();
  const ownPort = typeof bound === "object" && bound !== null ? bound.port : port;
  return {
    port: ownPort,
    address: `127.0.0.1:${ownPort}`,
    get connections() {
      return pairs.size;
    },
    get lostAnswers() {
      return lostAnswers;
    },
    hold(direction) {
      held = direction;
      for (const pair of pairs) apply(pair);
    },
    forget() {
      for (const pair of pairs) {
        pair.isForgotten = true;
        pair.server.destroy();
      }
    },
    loseAnswer(isMeant = () => true) {
      isMeantToLose = isMeant;
    },
    refuse() {
      isRefusing = true;
      for (const pair of [...pairs]) breakPair(pair);
    },
    heal() {
      held = undefined;
      isRefusing = false;
      isMeantToLose = undefined;
      for (const pair of pairs) apply(pair);
    },
    breakAll() {
      for (const pair of [...pairs]) breakPair(pair);
    },
    async close() {
      for (const pair of [...pairs]) breakPair(pair);
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
