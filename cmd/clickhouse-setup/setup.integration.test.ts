import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openEngineFixture, type EngineFixture } from "../../actors/adapters/clickhouse/engine.fixture.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));
let fixture: EngineFixture;
beforeAll(async () => {
  fixture = await openEngineFixture();
  await fixture.clickhouse.command("DROP DATABASE adtally");
});
afterAll(() => fixture.close());

function setUp(...args: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  const all = [MAIN, "--clickhouse-url", fixture.engine.url, ...args];
  return new Promise((resolve) => {
    execFile(process.execPath, all, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });
}

test("makes what is wanted, leaves it alone when asked again, and takes back what is wanted no more", async () => {
  const engine = ["--raw-rows-by", "clickhouse", "--clickhouse-kafka-brokers", "127.0.0.1:9"];
  const byEngine = "raw rows: by ClickHouse's Kafka engine; do not run ingest";
  expect(await setUp(...engine)).toEqual({
    code: 0,
    output: expect.stringMatching(`^tables: from version 0 to \\d+\n${byEngine}\n$`) as string,
  });
  expect((await setUp(...engine)).output).toMatch(`${byEngine}, as it was\n`);
  expect((await setUp()).output).toMatch(/raw rows: by the program ingest\n$/);
  expect((await setUp()).output).toMatch(
    /at version \d+, as they were\nraw rows: by the program ingest, as it was\n$/,
  );
});

test("says by name what it cannot do", async () => {
  const reader = ["--clickhouse-reader-user", "adtally_reader", "--clickhouse-reader-password", "hunter2"];
  const refused = await setUp(...reader);
  expect(refused).toMatchObject({ code: 1, output: expect.stringContaining("ACCESS_DENIED") as string });
  expect(refused.output).not.toContain("hunter2");
  const half = await setUp("--raw-rows-by", "clickhouse");
  expect(half.code).not.toBe(0);
  expect(half.output).toContain("--clickhouse-kafka-brokers");
});
