/** Fault 14: Redis killed, flushed, stopped, failed over, never there, or not for us. */
import { Buffer } from "node:buffer";
import { createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { freePorts } from "../../../testing/servers/process.ts";
import { isAdtallyError, messageOf } from "../../core/errors.ts";
import { createRedisBus } from "./bus.ts";
import { createRedisConnection, type RedisConnection } from "./connection.ts";
import { common, describeWithRedis, startTestRedis, TEST_LIMITS, type TestRedis } from "./redis.fixture.ts";
import { createRedisSharedState } from "./shared-state.ts";

const SOON = { timeout: 20_000, interval: 20 };
const MARGIN_MS = 4_000;
const { redisDeadlineMs } = TEST_LIMITS;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A program's use of Redis, and all that it saw. */
function programOn(connection: RedisConnection, limits = TEST_LIMITS) {
  const bus = createRedisBus({ ...common, limits, redis: connection });
  const state = createRedisSharedState({ ...common, limits, redis: connection, key: "assignment" });
  const [texts, messages]: [string[], string[]] = [[], []];
  state.watch((text) => texts.push(text));
  bus.subscribe("feed", (message) => messages.push(Buffer.from(message).toString()));
  return { connection, bus, state, texts, messages, last: () => texts.at(-1) };
}

/** The error's message, once it came in time. */
async function failure(work: () => Promise<unknown>): Promise<string> {
  const started = performance.now();
  try {
    await work();
  } catch (error) {
    expect(isAdtallyError(error, "SHARED_STATE_UNAVAILABLE"), messageOf(error)).toBe(true);
    expect(performance.now() - started).toBeLessThan(redisDeadlineMs + MARGIN_MS);
    return messageOf(error);
  }
  throw new Error("it did not fail");
}

function expectRising(texts: readonly string[]): void {
  const seen = texts.map(Number);
  expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
}

await describeWithRedis(() =>
  describe("a real Redis", () => {
    let redis: TestRedis;
    const start = async () => {
      redis = await startTestRedis();
    };
    afterEach(() => redis.close());

    describe("fault 14: Redis goes and comes", () => {
      beforeEach(() => start());

      const connected = async () => {
        // Past the proxy: a stopped server keeps what its own socket took.
        const programs = [1, 2, 3].map(() => programOn(redis.connect({ url: redis.server.url })));
        const [publisher, reader, other] = [programs[0]!, programs[1]!, programs[2]!];
        await publisher.state.publish("1");
        await expect.poll(() => programs.map(({ last }) => last()), SOON).toEqual(["1", "1", "1"]);
        return { publisher, reader, other, programs };
      };
      const publishUntilTaken = async (state: { publish(text: string): Promise<void> }, text: string) => {
        const attempt = () =>
          state.publish(text).then(
            () => true,
            () => false,
          );
        await expect.poll(attempt, SOON).toBe(true);
      };
      const feedFlows = (
        from: ReturnType<typeof programOn>,
        to: ReturnType<typeof programOn>,
        word: string,
      ) =>
        expect
          .poll(() => {
            from.bus.publish("feed", Buffer.from(word));
            return to.messages.includes(word);
          }, SOON)
          .toBe(true);

      it("killed with SIGKILL and started again, empty: all is as before, by itself", async () => {
        const { publisher, reader, other, programs } = await connected();
        await redis.server.kill();
        await expect.poll(() => reader.connection.health.commands, SOON).toBe("lost");
        await expect.poll(() => reader.connection.health.lastError, SOON).toContain("ECONNREFUSED");
        expect(await failure(() => reader.state.read())).toContain(redis.server.address);
        expect(await publisher.bus.count("clicks", 1, 60_000)).toBeUndefined();
        expect(programs.map(({ texts }) => texts)).toEqual([["1"], ["1"], ["1"]]);
        await redis.server.restart();
        // Nobody publishes: those that hold the text give it back, and a newcomer finds it.
        const newcomer = programOn(redis.connect({ url: redis.server.url }));
        await expect.poll(newcomer.last, SOON).toBe("1");
        await feedFlows(publisher, reader, "back");
        expect(await other.bus.count("clicks", 1, 60_000)).toBe(1);
        await publishUntilTaken(publisher.state, "2");
        await expect.poll(() => programs.map(({ last }) => last()), SOON).toEqual(["2", "2", "2"]);
        expect(programs.map(({ texts }) => texts)).toEqual(Array.from({ length: 3 }, () => ["1", "2"]));
      });

      it("killed ten times in a row under use: never an error that nobody handles, and it ends well", async () => {
        const { publisher, reader } = await connected();
        let text = 1;
        for (let kill = 0; kill < 10; kill += 1) {
          const settled = Promise.allSettled(
            [1, 2, 3].flatMap(() => [
              publisher.state.publish(String((text += 1))),
              reader.state.read(),
              reader.bus.count("clicks", 1, 60_000),
            ]),
          );
          publisher.bus.publish("feed", Buffer.from("x"));
          await redis.server.kill();
          await settled;
          await redis.server.restart();
          await pause(kill * 15);
        }
        await publishUntilTaken(publisher.state, String((text += 1)));
        await expect.poll(reader.last, SOON).toBe(String(text));
        expectRising(reader.texts);
        await feedFlows(publisher, reader, "end");
      });

      it("flushed: the text is given back, also with its publisher gone", async () => {
        const { publisher, reader } = await connected();
        publisher.state.close();
        await publisher.connection.close();
        await redis.command("FLUSHALL");
        const newcomer = programOn(redis.connect({ url: redis.server.url }));
        await expect.poll(newcomer.last, SOON).toBe("1");
        expect(await reader.state.read()).toBe("1");
        expect(reader.texts).toEqual(["1"]);
      });

      it("a message of a change that is missed is made up for by reading again", async () => {
        const { reader } = await connected();
        const key = "adtally:state:assignment";
        const version = Number(await redis.command("HGET", key, "version"));
        await redis.command("HSET", key, "version", String(version + 1), "text", "2");
        await expect.poll(reader.last, SOON).toBe("2");
      });

      it("stopped for 3 s: deadlines hold, and what was held up never undoes what came later", async () => {
        const { publisher, reader, programs } = await connected();
        redis.server.signal("SIGSTOP");
        const wokenAt = performance.now() + 3_000;
        let text = 1;
        while (performance.now() < wokenAt) {
          await failure(() => publisher.state.publish(String((text += 1))));
          await failure(() => reader.state.read());
          const started = performance.now();
          reader.bus.publish("feed", Buffer.from("held"));
          expect(performance.now() - started).toBeLessThan(50);
          expect(await reader.bus.count("clicks", 1, 60_000)).toBeUndefined();
          expect(performance.now() - started).toBeLessThan(redisDeadlineMs + MARGIN_MS);
          await pause(20);
        }
        redis.server.signal("SIGCONT");
        await publishUntilTaken(publisher.state, String((text += 1)));
        await expect
          .poll(() => programs.map(({ last }) => last()), SOON)
          .toEqual(Array(3).fill(String(text)));
        // Whatever was still on its way by now has arrived.
        await pause(3 * TEST_LIMITS.sharedStateRereadMs);
        expect(await reader.state.read()).toBe(String(text));
        for (const { texts } of programs) expectRising(texts);
        await feedFlows(publisher, reader, "woken");
      });

      it("failed over: a replica refuses writes, reads go on, writes go on once there is a primary", async () => {
        const { publisher, reader } = await connected();
        await redis.command("REPLICAOF", "127.0.0.1", String((await freePorts(1))[0]));
        expect(await failure(() => publisher.state.publish("2"))).toContain("READONLY");
        expect(await publisher.bus.count("clicks", 1, 60_000)).toBeUndefined();
        await expect.poll(() => reader.state.read().catch(() => undefined), SOON).toBe("1");
        await redis.command("REPLICAOF", "NO", "ONE");
        await publishUntilTaken(publisher.state, "3");
        await expect.poll(reader.last, SOON).toBe("3");
        expect(reader.texts).toEqual(["1", "3"]);
      });

      it("half open, the client told nothing: found out and made anew", async () => {
        const programs = [programOn(redis.connect()), programOn(redis.connect())];
        const [publisher, reader] = [programs[0]!, programs[1]!];
        await publishUntilTaken(publisher.state, "1");
        await expect.poll(reader.last, SOON).toBe("1");
        await feedFlows(publisher, reader, "before");
        redis.proxy.forget();
        await failure(() => reader.state.read());
        await publishUntilTaken(publisher.state, "2");
        await expect.poll(reader.last, SOON).toBe("2");
        await feedFlows(publisher, reader, "after");
      });

      it("a publication held up on its way does not undo a later one", async () => {
        const { reader, other } = await connected();
        const late = createRedisSharedState({ ...common, redis: redis.connect(), key: "assignment" });
        expect(await late.read()).toBe("1");
        redis.proxy.hold("to-server");
        await failure(() => late.publish("2"));
        await other.state.publish("3");
        redis.proxy.heal();
        await pause(2 * TEST_LIMITS.sharedStateRereadMs);
        expect(await redis.command("HGET", "adtally:state:assignment", "text")).toBe("3");
        expect(reader.texts).toEqual(["1", "3"]);
        late.close();
      });

      it("a reconnect does not wait for the next reading: messages and text are there at once", async () => {
        const limits = { ...TEST_LIMITS, sharedStateRereadMs: 600_000 };
        const open = () => createRedisConnection({ ...common, limits, config: { url: redis.server.url } });
        const connections = [open(), open()];
        const [publisher, reader] = [programOn(connections[0]!, limits), programOn(connections[1]!, limits)];
        await publishUntilTaken(publisher.state, "1");
        await expect.poll(reader.last, SOON).toBe("1");
        await redis.server.kill();
        await redis.server.restart();
        const stored = () => redis.command("HGET", "adtally:state:assignment", "text").catch(() => "");
        await expect.poll(stored, SOON).toBe("1");
        await feedFlows(publisher, reader, "back");
        await publishUntilTaken(publisher.state, "2");
        await expect.poll(reader.last, SOON).toBe("2");
        for (const { state } of [publisher, reader]) state.close();
        await Promise.all(connections.map((connection) => connection.close()));
      });

      it("tells its state: connecting, ready, closed", async () => {
        const connection = redis.connect();
        expect(connection.health).toMatchObject({ commands: "connecting", subscriber: "idle" });
        await connection.run("ping", (client) => client.ping());
        expect(connection.health).toMatchObject({ commands: "ready", lastError: undefined });
        await connection.close();
        expect(connection.health).toMatchObject({ commands: "closed", subscriber: "closed" });
        expect(await failure(() => connection.run("ping", (client) => client.ping()))).toContain("closed");
      });
    });

    describe("a Redis that wants a password", () => {
      beforeEach(async () => {
        await start();
        await redis.command("CONFIG", "SET", "requirepass", "s3cret word");
      });

      it("lets in who has it, in the URL or beside it; says so to the others, and keeps trying", async () => {
        const inUrl = redis.connect({ url: `redis://:s3cret%20word@${redis.server.address}/3` });
        const beside = redis.connect({ url: redis.server.url, password: "s3cret word" });
        for (const connection of [inUrl, beside]) {
          expect(await connection.run("ping", (client) => client.ping())).toBe("PONG");
        }
        expect(await inUrl.run("info", (client) => client.client("INFO"))).toContain("db=3");
        const wrong = redis.connect({ url: redis.server.url, password: "wrong" });
        await failure(() => wrong.run("ping", (client) => client.ping()));
        await expect.poll(() => wrong.health.lastError, SOON).toMatch(/WRONGPASS|NOAUTH/);
        const none = redis.connect({ url: redis.server.url });
        await failure(() => none.run("ping", (client) => client.ping()));
        await expect.poll(() => none.health.lastError, SOON).toContain("NOAUTH");
        await beside.run("config", (client) => client.config("SET", "requirepass", "wrong"));
        await expect.poll(() => wrong.health.commands, SOON).toBe("ready");
      });
    });
  }),
);

describe("a Redis that was never there", () => {
  const use = async (url: string, config = {}) => {
    const connection = createRedisConnection({ ...common, config: { url, ...config } });
    const program = programOn(connection);
    for (let round = 0; round < 3; round += 1) {
      await failure(() => program.state.read());
      await failure(() => program.state.publish("1"));
      program.bus.publish("feed", Buffer.from("1"));
      expect(await program.bus.count("clicks", 1, 1_000)).toBeUndefined();
      await pause(50);
    }
    expect(program.bus.dropped).toBe(6);
    expect(program.texts).toEqual([]);
    const { lastError } = connection.health;
    program.state.close();
    const started = performance.now();
    await connection.close();
    expect(performance.now() - started).toBeLessThan(1_500);
    return lastError;
  };
  const listen = async (onConnection: Parameters<typeof createServer>[1]) => {
    const server = createServer(onConnection!);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" ? address!.port : 0;
    return { url: `redis://127.0.0.1:${port}`, close: () => void server.close() };
  };

  it("refuses", async () => {
    const [port] = await freePorts(1);
    expect(await use(`redis://127.0.0.1:${port}`)).toContain("ECONNREFUSED");
    expect(await use(`redis://localhost:${port}`)).toContain("ECONNREFUSED");
  });

  it("has a name that is none", async () => {
    expect(await use("redis://no-such-host.invalid:6379")).toMatch(/ENOTFOUND|EAI_AGAIN/);
  });

  it("takes connections and answers nothing", async () => {
    const server = await listen((socket) => socket.on("error", () => undefined).resume());
    await use(server.url);
    server.close();
  });

  it("is something else", async () => {
    const server = await listen((socket) => {
      socket.on("error", () => undefined).resume();
      socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    await use(server.url);
    server.close();
  });

  it("has a certificate that is none: it goes on trying", async () => {
    const [port] = await freePorts(1);
    let attempts = 0;
    const tls = {
      key: "none",
      get cert() {
        attempts += 1;
        return "none";
      },
    };
    const url = `rediss://127.0.0.1:${port}`;
    const unused = createRedisConnection({ ...common, config: { url, tls } });
    await expect.poll(() => attempts, SOON).toBeGreaterThan(2);
    expect(unused.health.commands).toBe("lost");
    await unused.close();
    await use(url, { tls });
  });
});
