/** Whether a server is there, as far as can be told without speaking its protocol. */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";

/** Whether one of host:port takes a connection. */
export async function anyAccepts(addresses: readonly string[], deadlineMs: number): Promise<boolean> {
  const attempts = addresses.map(async (address) => {
    if (!(await accepts(address, deadlineMs))) throw new Error(address);
  });
  return Promise.any(attempts).then(
    () => true,
    () => false,
  );
}

function accepts(address: string, timeout: number): Promise<boolean> {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  const port = Number(address.slice(colon + 1));
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout });
    const end = (isThere: boolean) => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once("connect", () => end(true));
    socket.once("timeout", () => end(false));
    socket.once("error", () => end(false));
  });
}

/** ClickHouse's own question for it. Nothing secret is sent, so its certificate is not looked at. */
export function answersPing(url: string, timeout: number): Promise<boolean> {
  return new Promise((resolve) => {
    const target = new URL(url);
    target.pathname = `${target.pathname.replace(/\/$/, "")}/ping`;
    const request = target.protocol === "https:" ? httpsRequest : httpRequest;
    const options = {
      agent: false as const,
      rejectUnauthorized: false,
      signal: AbortSignal.timeout(timeout),
    };
    const asked = request(target, options, (answer) => {
      answer.resume();
      answer.once("error", () => resolve(false));
      resolve(answer.statusCode === 200);
    });
    asked.once("error", () => resolve(false));
    asked.end();
  });
}
