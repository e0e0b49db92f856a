/** The peer's producer: a process that has the clicks in memory, and sends so many of them when told. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export interface Acknowledged {
  readonly sent: number;
  readonly acked: number;
}

export interface Producer {
  readonly pid: number;
  /** Sends the next clicks of the file; resolves when the broker has all of them. */
  send(clicks: number): Promise<Acknowledged>;
  stop(): Promise<void>;
}

/** `args` are java's. @throws Error when it ends before it is ready */
export async function startProducer(args: readonly string[]): Promise<Producer> {
  const child = spawn("java", args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string> => {
    const { done, value } = await lines.next();
    if (done === true) throw new Error("the peer's producer ended; see above");
    return value;
  };
  const first = await nextLine();
  if (first !== "producer ready") throw new Error(`the peer's producer said: ${first}`);
  return {
    pid: child.pid!,
    async send(clicks) {
      child.stdin.write(`${clicks}\n`);
      return JSON.parse(await nextLine()) as Acknowledged;
    },
    async stop() {
      const ended = once(child, "exit");
      child.stdin.end();
      await ended;
    },
  };
}
