import { expect, test } from "vitest";
import { sleep, systemClock } from "../../../runtime/clock.ts";
import {
  createConnectionPool,
  type EngineResult,
  type EngineSession,
  type Query,
} from "./connection-pool.ts";
import { defaultEngineLimits } from "./limits.ts";

const nothing: EngineResult = { elapsed: 0, rowsRead: 0, bytesRead: 0, bytes: () => new Uint8Array() };

/** An engine by hand: `answer` decides what each query comes to. */
function openPool(
  answer: (sql: string) => Promise<EngineResult>,
  change: Partial<typeof defaultEngineLimits> = {},
) {
  const seen = { open: 0, most: 0, sql: [] as string[], fatal: [] as string[] };
  const openSession = (): EngineSession => {
    seen.open += 1;
    seen.most = Math.max(seen.most, seen.open);
    let isBusy = false;
    return {
      async queryAsync(sql) {
        if (isBusy) throw new Error("two queries at once on one connection");
        isBusy = true;
        seen.sql.push(sql);
        try {
          return await (/^(SET|USE) /.test(sql) ? Promise.resolve(nothing) : answer(sql));
        } finally {
          isBusy = false;
        }
      },
      close: () => void (seen.open -= 1),
    };
  };
  const limits = { ...defaultEngineLimits, maxRunning: 2, maxWaiting: 1, ...change };
  const pool = createConnectionPool({
    openSession,
    limits,
    clock: systemClock,
    onFatal: ({ message }) => seen.fatal.push(message),
  });
  return { pool, seen };
}

const query = (sql: string, change: Partial<Query> = {}): Query => ({
  sql,
  format: "TabSeparated",
  database: "default",
  settings: new Map(),
  parameters: new Map(),
  readOnly: false,
  spoilsSession: false,
  ...change,
});

test("E1 settings that stay the same are set once", async () => {
  const { pool, seen } = openPool(() => Promise.resolve(nothing));
  for (let i = 0; i < 3; i++) await pool.run(query("q", { settings: new Map([["a", "it's \\"]]) }));
  expect(seen.sql.filter((sql) => sql.includes("a = "))).toEqual([
    expect.stringContaining("a = 'it\\'s \\\\'"),
  ]);
});

test("E2 the bound holds whatever mix of read-only and other queries comes", async () => {
  const { pool, seen } = openPool(() => sleep(systemClock, 1).then(() => nothing), { maxWaiting: 100 });
  await Promise.all(Array.from({ length: 50 }, (_, n) => pool.run(query("q", { readOnly: n % 3 === 0 }))));
  expect(seen.most).toBe(2);
  await pool.drain();
  expect(seen.open).toBe(0);
});

test("E3 an overdue query is answered, but holds its connection until it has ended", async () => {
  let end = (): void => undefined;
  const { pool } = openPool(() => new Promise((resolve) => (end = () => resolve(nothing))), {
    maxRunning: 1,
    maxWaiting: 0,
    queryDeadlineMs: 20,
    deadlineGraceMs: 10,
  });
  await expect(pool.run(query("slow"))).rejects.toMatchObject({ code: 159 });
  expect(pool.running()).toBe(1);
  await expect(pool.run(query("next"))).rejects.toMatchObject({ code: 202 });
  end();
  await expect.poll(() => pool.running()).toBe(0);
});

test("E3 a query that waits too long for a connection is answered 159, and never runs", async () => {
  const { pool, seen } = openPool(() => sleep(systemClock, 100).then(() => nothing), { maxRunning: 1 });
  const first = pool.run(query("first"));
  const second = pool.run(query("second", { settings: new Map([["max_execution_time", "0.02"]]) }));
  await expect(second).rejects.toMatchObject({ code: 159 });
  await first;
  expect(seen.sql).not.toContain("second");
});

test("E5 a session that a statement changed is not used again", async () => {
  const { pool, seen } = openPool(() => Promise.resolve(nothing));
  await pool.run(query("changes", { spoilsSession: true }));
  expect(seen.open).toBe(0);
});

test("E6 an engine that has failed for good is reported, an ordinary error is not", async () => {
  const { pool, seen } = openPool((sql) => Promise.reject(new Error(sql)));
  await expect(pool.run(query("Code: 60. DB::Exception: no table (UNKNOWN_TABLE)"))).rejects.toMatchObject({
    code: 60,
  });
  expect(seen.fatal).toEqual([]);
  const fatal = "Code: 236. DB::Exception: The server is shutting down due to a fatal error. (ABORTED)";
  await expect(pool.run(query(fatal))).rejects.toMatchObject({ code: 236 });
  expect(seen.fatal).toHaveLength(1);
});

test("drain refuses what waits and what comes, and lets what runs end", async () => {
  const { pool } = openPool(() => sleep(systemClock, 30).then(() => nothing), { maxRunning: 1 });
  const running = pool.run(query("runs"));
  const waiting = pool.run(query("waits"));
  const drained = pool.drain();
  await expect(waiting).rejects.toMatchObject({ code: 236 });
  await expect(pool.run(query("comes"))).rejects.toMatchObject({ code: 236 });
  await expect(running).resolves.toBe(nothing);
  await drained;
});
