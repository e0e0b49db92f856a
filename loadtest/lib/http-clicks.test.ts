import { createServer, type Server } from "node:http";
import { afterEach, expect, test } from "vitest";
import { createHttpClicks } from "./http-clicks.ts";

let server: Server;
afterEach(() => void server.closeAllConnections());

async function serve(answer: (token: string) => number | undefined): Promise<number> {
  server = createServer((request, response) => {
    const token = request.url!.slice("/click?i=".length);
    const status = answer(token);
    if (status === undefined) return void request.socket.destroy();
    setTimeout(
      () => {
        response.writeHead(status, { location: `https://shop.example/${token}`, "content-length": 3 });
        response.end("abc");
      },
      Number(token) % 7,
    );
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return (server.address() as { port: number }).port;
}

test.each([1, 8])("each click gets its own answer, %i requests a write", async (pipelined) => {
  const port = await serve((token) => (Number(token) % 10 === 3 ? 400 : 302));
  const http = createHttpClicks(port, 4, pipelined);
  const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => http.click(String(i))));
  http.close();
  answers.forEach(({ status, location }, i) => {
    expect([status, location]).toEqual([i % 10 === 3 ? 400 : 302, `https://shop.example/${i}`]);
  });
});

test("requests of a connection that ends are rejected, and the next have a new one", async () => {
  const port = await serve((token) => (token === "5" ? undefined : 302));
  const http = createHttpClicks(port, 1, 8);
  const results = await Promise.allSettled(Array.from({ length: 8 }, (_, i) => http.click(String(i))));
  expect(results[5]!.status).toBe("rejected");
  expect((await http.click("6")).status).toBe(302);
  http.close();
  const nobody = createHttpClicks(1, 1);
  await expect(nobody.click("1")).rejects.toThrow("ECONNREFUSED");
  nobody.close();
});
