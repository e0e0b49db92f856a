import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../runtime/clock.ts";
import { silentLogger } from "../../runtime/log.ts";
import { connectClickHouse } from "./client.ts";
import { startEngine } from "./engine-process.ts";

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "adtally-engine-process-"));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

const open = (port = 0) => startEngine({ dataDir, port, clock: systemClock, logger: silentLogger });
const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test("P2 a killed engine comes back at the same address, with what it had acknowledged", async () => {
  const engine = await open();
  const clickhouse = connectClickHouse({ url: engine.url });
  await clickhouse.command("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a");
  for (let kill = 1; kill <= 2; kill++) {
    await clickhouse.command("INSERT INTO t SELECT {kill:UInt32}", { kill });
    const pid = engine.pid()!;
    process.kill(pid, "SIGKILL");
    await expect.poll(() => engine.restarts(), { timeout: 10_000 }).toBe(kill);
    await expect.poll(() => clickhouse.ping(), { timeout: 10_000 }).toBe(true);
    expect(engine.pid()).not.toBe(pid);
  }
  expect(await clickhouse.rows("SELECT a FROM t ORDER BY a")).toEqual([{ a: 1 }, { a: 2 }]);
  await clickhouse.close();
  await engine.close();
  expect(engine.pid()).toBeUndefined();
});

test("P4 the engine shared its starter's process group, which SYSTEM KILL ends", async () => {
  const engine = await open();
  // Only the leader's id names a group.
  expect(() => process.kill(-engine.pid()!, 0)).not.toThrow();
  const clickhouse = connectClickHouse({ url: engine.url });
  await expect(clickhouse.command("SYSTEM KILL")).rejects.toThrow("ACCESS_DENIED");
  expect(await clickhouse.ping()).toBe(true);
  await clickhouse.close();
  await engine.close();
});

test("P3 close lets a running query end", async () => {
  const engine = await open();
  const clickhouse = connectClickHouse({ url: engine.url });
  const answer = clickhouse.rows("SELECT sleep(1) AS slept");
  await expect
    .poll(
      async () =>
        (await clickhouse.rows<object>("SELECT 1 FROM system.processes WHERE query LIKE '%slept%'")).length,
    )
    .toBeGreaterThan(1);
  await engine.close();
  expect(await answer).toEqual([{ slept: 0 }]);
  await clickhouse.close();
});

test("a folder and a port in use are named", async () => {
  const engine = await open();
  const other = await mkdtemp(join(tmpdir(), "adtally-engine-process-"));
  await expect(
    startEngine({ dataDir: other, port: engine.port, clock: systemClock, logger: silentLogger }),
  ).rejects.toMatchObject({ code: "PORT_IN_USE" });
  await expect(open()).rejects.toMatchObject({ code: "DATA_DIR_IN_USE" });
  await engine.close();
  await rm(other, { recursive: true });
}, 30_000);

test("a folder whose owner is only just gone is waited for", async () => {
  const first = await open();
  const second = open();
  systemClock.after(1_500, () => void first.close());
  await (await second).close();
}, 30_000);

test("P1 the engine ends when its parent is killed", async () => {
  const parent = fork(fileURLToPath(new URL("engine-parent.fixture.ts", import.meta.url)), [dataDir]);
  const [pid] = (await once(parent, "message")) as [number];
  expect(isAlive(pid)).toBe(true);
  parent.kill("SIGKILL");
  await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
});
