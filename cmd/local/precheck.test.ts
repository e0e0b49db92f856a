import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { assertCanListen } from "./precheck.ts";

describe("addresses to listen on", () => {
  const attempt = { what: "HTTP", host: "127.0.0.1", port: 0, portFlag: "--http-port" };

  test("free ones pass, and stay free", async () => {
    await assertCanListen(attempt);
  });

  test("a port that is taken is PORT_IN_USE", async () => {
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    const { port } = holder.address() as AddressInfo;
    await expect(assertCanListen({ ...attempt, port })).rejects.toMatchObject({
      code: "PORT_IN_USE",
      message: expect.stringContaining("--http-port") as string,
    });
    holder.close();
  });

  test.each(["192.0.2.1", "no such host"])("--host %s was PORT_IN_USE, names --host", async (host) => {
    await expect(assertCanListen({ ...attempt, host })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(/is not an address of this machine.*--host/) as string,
    });
  });
});
