import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../runtime/clock.ts";
import { startEngineServer, type EngineServer } from "./engine.ts";
import { defaultEngineLimits } from "./limits.ts";

// The engine runs in this process: one test file, one data folder.
let dataDir: string;
let server: EngineServer;
let url: string;
const limits = {
  ...defaultEngineLimits,
  maxRunning: 2,
  maxWaiting: 2,
  maxBodyBytes: 100_000,
  maxQueryBytes: 10_000,
  queryDeadlineMs: 2_000,
  deadlineGraceMs: 300,
};

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "adtally-engine-"));
  server = await startEngineServer({
    dataDir,
    port: 0,
    limits,
    clock: systemClock,
    onFatal: () => undefined,
  });
  url = `http://127.0.0.1:${server.port}/`;
});
afterAll(async () => {
  await server.drain();
  await rm(dataDir, { recursive: true, force: true });
});
beforeEach(async () => {
  await post("CREATE OR REPLACE TABLE t (a UInt32, s String DEFAULT 'none') ENGINE = MergeTree ORDER BY a");
});

interface Asked {
  readonly query?: Record<string, string>;
  readonly headers?: Record<string, string>;
}
const at = (query: Record<string, string> = {}) => `${url}?${new URLSearchParams(query)}`;
async function post(body: string | Uint8Array, { query, headers }: Asked = {}) {
  const response = await fetch(at(query), { method: "POST", body: body as string, headers: headers ?? {} });
  return { status: response.status, headers: response.headers, text: await response.text() };
}
async function get(query: Record<string, string> = {}, headers: Record<string, string> = {}) {
  const response = await fetch(at(query), { headers });
  return { status: response.status, headers: response.headers, text: await response.text() };
}
const rows = async () => (await get({ query: "SELECT * FROM t ORDER BY a" })).text;
const row = (a: number, s: string) => Buffer.from([a, 0, 0, 0, s.length, ...Buffer.from(s)]);

describe("health", () => {
  test.each(["ping", "replicas_status", ""])("GET /%s is Ok", async (path) => {
    const response = await fetch(url + path);
    expect([response.status, await response.text()]).toEqual([200, "Ok.\n"]);
    expect((await fetch(url + path, { method: "HEAD" })).status).toBe(200);
  });
  test("another path is 404", async () => {
    expect((await fetch(`${url}play`)).status).toBe(404);
  });
});

describe("queries", () => {
  test("in the URL and in the body, with ClickHouse's headers", async () => {
    const { status, headers, text } = await get({
      query: "SELECT 1 AS x FORMAT JSONEachRow",
      query_id: "mine",
    });
    expect([status, text]).toEqual([200, '{"x":1}\n']);
    expect(headers.get("x-clickhouse-query-id")).toBe("mine");
    expect(headers.get("x-clickhouse-format")).toBe("JSONEachRow");
    expect(headers.get("x-clickhouse-timezone")).not.toBeNull();
    expect(headers.get("x-clickhouse-server-display-name")).toBe("adtally-embedded");
    expect(JSON.parse(headers.get("x-clickhouse-summary")!)).toMatchObject({ result_rows: "1" });
    expect((await post("SELECT 'ü'")).text).toBe("ü\n");
    expect((await post("number FROM numbers(2)", { query: { query: "SELECT" } })).text).toBe("0\n1\n");
  });

  test("parameters are bound, whatever they hold, and end with their query", async () => {
    const nasty = "a'b\\\\c\\nd\\te; DROP TABLE t --";
    const { text } = await post("SELECT {x:String}, {n:UInt64} FORMAT JSONCompactEachRow", {
      query: { param_x: nasty, param_n: "18446744073709551615" },
    });
    expect(text).toBe('["a\'b\\\\c\\nd\\te; DROP TABLE t --", 18446744073709551615]\n');
    const forgotten = await post("SELECT {x:String}");
    expect(forgotten.headers.get("x-clickhouse-exception-code")).toBe("456");
  });

  test("settings, database and default format hold for their own query alone", async () => {
    await post("CREATE DATABASE IF NOT EXISTS other");
    const query = { max_block_size: "77", database: "other", default_format: "JSONCompactEachRow" };
    const sql = "SELECT currentDatabase(), toUInt32(getSetting('max_block_size'))";
    for (let i = 0; i < 3; i++) expect((await post(sql, { query })).text).toBe('["other", 77]\n');
    for (let i = 0; i < 3; i++) expect((await post(sql)).text).toBe("default\t65409\n");
    await post("SET max_block_size = 99");
    await post("USE other");
    for (let i = 0; i < 3; i++) expect((await post(sql)).text).toBe("default\t65409\n");
  });

  test("an error has ClickHouse's status, code, name and version", async () => {
    const cases: [string, number, string, string][] = [
      ["SELECT * FROM nope", 404, "60", "UNKNOWN_TABLE"],
      ["SELEC 1", 400, "62", "SYNTAX_ERROR"],
      ["SELECT throwIf(1)", 500, "395", "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"],
      ["SELECT 1; SELECT 2", 400, "62", "SYNTAX_ERROR"],
      ["SELECT 1 INTO OUTFILE '/tmp/never'", 500, "358", "INTO_OUTFILE_NOT_ALLOWED"],
      ["", 400, "62", "SYNTAX_ERROR"],
    ];
    for (const [sql, status, code, name] of cases) {
      const response = await post(sql);
      expect([sql, response.status, response.headers.get("x-clickhouse-exception-code")]).toEqual([
        sql,
        status,
        code,
      ]);
      expect(response.text).toMatch(
        new RegExp(`^Code: ${code}\\. DB::Exception: .*\\(${name}\\) \\(version [0-9.]+ `, "s"),
      );
    }
    const setting = await post("SELECT 1", { query: { no_such_setting: "1" } });
    expect([setting.status, setting.headers.get("x-clickhouse-exception-code")]).toEqual([404, "115"]);
  });

  test("H1 GET changes nothing, nor does POST with readonly=1", async () => {
    const file = join(dataDir, "written");
    for (const query of [
      "DROP TABLE t",
      "INSERT INTO t VALUES (1,'a')",
      `INSERT INTO FUNCTION file('${file}', 'TSV', 'a UInt8') SELECT 1`,
      "CREATE TABLE u (a UInt8) ENGINE = Memory",
      "SYSTEM STOP MERGES",
    ]) {
      expect((await get({ query })).headers.get("x-clickhouse-exception-code")).toBe("164");
      expect(
        (await post(query, { query: { readonly: "1" } })).headers.get("x-clickhouse-exception-code"),
      ).toBe("164");
    }
    expect(await rows()).toBe("");
    expect(await readdir(dataDir)).not.toContain("written");
  });

  test("H2 a page of another origin is refused", async () => {
    expect((await get({ query: "SELECT 1" }, { "sec-fetch-site": "cross-site" })).status).toBe(403);
    expect((await get({ query: "SELECT 1" }, { origin: "https://evil.example" })).status).toBe(403);
    expect((await get({ query: "SELECT 1" }, { origin: "null" })).status).toBe(403);
  });

  test.each([
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM `file`('/etc/passwd', 'LineAsString')",
    "SELECT * FROM file /* here */ ('/etc/passwd', 'LineAsString')",
    "INSERT INTO FUNCTION file('/tmp/owned', 'TSV', 'x String') VALUES ('x')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'x String')",
    "CREATE TABLE f (x String) ENGINE = File(TSV, '/etc/passwd')",
    "CREATE TABLE f (x String) ENGINE = URL('http://127.0.0.1:1/', 'TSV')",
  ])("T5 the port was a way to the machine's files and hosts: %s", async (query) => {
    expect((await post(query)).headers.get("x-clickhouse-exception-code")).toBe("497");
  });
});

describe("inserts", () => {
  test.each([
    ["CSV", '1,"x;\ny"\n2,b'],
    ["JSONEachRow", '{"a":1,"s":"x;\\ny"}\n{"s":"b","a":2}'],
    ["TabSeparated", "1\tx;\\ny\n2\tb\n"],
    ["Values", "(1, 'x;\\ny'), (2, 'b')"],
    ["RowBinary", Buffer.concat([row(1, "x;\ny"), row(2, "b")])],
    ["RowBinaryWithNames", Buffer.concat([Buffer.from("\x02\x01a\x01s"), row(1, "x;\ny"), row(2, "b")])],
  ])("%s, as the body and behind the query in the body", async (format, data) => {
    const expected = "1\tx;\\ny\n2\tb\n";
    const sql = `INSERT INTO t (a, s) FORMAT ${format}`;
    expect(await post(data, { query: { query: sql } })).toMatchObject({ status: 200, text: "" });
    expect(await rows()).toBe(expected);
    await post("TRUNCATE TABLE t");
    const whole = Buffer.concat([Buffer.from(`${sql}\n`), Buffer.from(data)]);
    const { status, headers } = await post(whole);
    expect(status).toBe(200);
    expect(JSON.parse(headers.get("x-clickhouse-summary")!)).toMatchObject({ written_rows: "2" });
    expect(await rows()).toBe(expected);
  });

  test("columns left out get their defaults, also in binary", async () => {
    await post(Buffer.from([5, 0, 0, 0]), { query: { query: "INSERT INTO t (a) FORMAT RowBinary" } });
    expect(await rows()).toBe("5\tnone\n");
  });

  test("INSERT SELECT FROM input() with parameters and settings", async () => {
    const query = {
      query: "INSERT INTO t (a, s) SELECT x + {d:Int64}, s FROM input('x Int32, s String') FORMAT RowBinary",
      param_d: "40",
      max_threads: "1",
    };
    expect((await post(row(2, "\n;'"), { query })).text).toBe("");
    expect(await rows()).toBe("42\t\\n;\\'\n");
  });

  test("SETTINGS in the statement, VALUES in the body of its text, INSERT SELECT", async () => {
    await post("1,a", { query: { query: "INSERT INTO t SETTINGS async_insert = 0 FORMAT CSV" } });
    await post("INSERT INTO t VALUES (2, 'VALUES ('), (3, 'c')");
    await post("INSERT INTO t SELECT 4, 'd'");
    expect(await rows()).toBe("1\ta\n2\tVALUES (\n3\tc\n4\td\n");
  });

  test("no rows, and rows that do not parse", async () => {
    expect((await post("", { query: { query: "INSERT INTO t FORMAT CSV" } })).status).toBe(200);
    const bad = await post("x,y", { query: { query: "INSERT INTO t FORMAT CSV" } });
    expect(bad.status).toBe(400);
    expect((await post("1,a", { query: { query: "INSERT INTO nope FORMAT CSV" } })).status).toBe(404);
    expect(await rows()).toBe("");
  });

  test("H3, H4 a body past the bound, or cut short, leaves neither rows nor a file", async () => {
    const query = { query: "INSERT INTO t FORMAT CSV" };
    const long = await post("1,a\n".repeat(30_000), { query }).catch(() => undefined);
    if (long !== undefined) expect(long.headers.get("x-clickhouse-exception-code")).toBe("307");
    const broken = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from("1,a\n"));
        setTimeout(() => controller.error(new Error("cut")), 50);
      },
    });
    const init = { method: "POST", body: broken, duplex: "half" } as RequestInit;
    await expect(fetch(at(query), init)).rejects.toThrow();
    await expect.poll(() => readdir(join(dataDir, "incoming"))).toEqual([]);
    expect(await rows()).toBe("");
    expect((await post(`SELECT '${"x".repeat(20_000)}'`)).headers.get("x-clickhouse-exception-code")).toBe(
      "62",
    );
  });
});

describe("gzip", () => {
  test("of a request, query and data alike", async () => {
    const headers = { "content-encoding": "gzip" };
    expect((await post(gzipSync("SELECT 7"), { headers })).text).toBe("7\n");
    await post(gzipSync("8,h"), { headers, query: { query: "INSERT INTO t FORMAT CSV" } });
    expect(await rows()).toBe("8\th\n");
    const broken = await post("not gzip", { headers });
    expect(broken.headers.get("x-clickhouse-exception-code")).toBe("354");
    expect((await post("x", { headers: { "content-encoding": "zstd" } })).status).toBe(415);
  });

  test("of an answer, only when it is asked for twice", async () => {
    const ask = async (query: Record<string, string>) => {
      const { request } = await import("node:http");
      return new Promise<{ encoding: string | undefined; bytes: Buffer }>((resolve, reject) => {
        const sql = "SELECT repeat('a', 5000)";
        request(at({ query: sql, ...query }), { headers: { "accept-encoding": "gzip" } }, (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () =>
            resolve({ encoding: response.headers["content-encoding"], bytes: Buffer.concat(chunks) }),
          );
        })
          .on("error", reject)
          .end();
      });
    };
    const packed = await ask({ enable_http_compression: "1" });
    expect(packed.encoding).toBe("gzip");
    expect(packed.bytes.length).toBeLessThan(200);
    expect(gunzipSync(packed.bytes).length).toBe(5_001);
    expect((await ask({})).encoding).toBeUndefined();
  });
});

describe("bounds", () => {
  const slow = "SELECT sum(sipHash64(number)) FROM numbers(100000000000)";

  test("a query past its time is 159, by its own wish or by the server's", async () => {
    const asked = await post(slow, { query: { max_execution_time: "0.2" } });
    expect([asked.status, asked.headers.get("x-clickhouse-exception-code")]).toEqual([408, "159"]);
    const served = await post(slow, { query: { max_execution_time: "1000" } });
    expect([served.status, served.headers.get("x-clickhouse-exception-code")]).toEqual([408, "159"]);
  });

  test("H4 more queries than may run and wait are refused with 202, the others answered", async () => {
    const answers = await Promise.all(Array.from({ length: 7 }, () => post("SELECT sleep(0.5)")));
    const codes = answers.map(({ headers }) => headers.get("x-clickhouse-exception-code"));
    expect(codes.filter((code) => code === null)).toHaveLength(4);
    expect(codes.filter((code) => code === "202")).toHaveLength(3);
  });
});

test("@clickhouse/client: ping, insert, query, parameters, compression both ways, errors", async () => {
  const client = createClient({
    url,
    log: { level: ClickHouseLogLevel.OFF },
    compression: { request: true, response: true },
  });
  expect(await client.ping()).toEqual({ success: true });
  await client.insert({ table: "t", values: [{ a: 1, s: "ä" }, { a: 2 }], format: "JSONEachRow" });
  const result = await client.query({
    query: "SELECT * FROM t WHERE a >= {least:UInt32} AND s != {text:String} ORDER BY a",
    query_params: { least: 1, text: "it's" },
    format: "JSONEachRow",
  });
  expect(await result.json()).toEqual([
    { a: 1, s: "ä" },
    { a: 2, s: "none" },
  ]);
  await client.command({ query: "TRUNCATE TABLE t" });
  await expect(client.query({ query: "SELECT nope FROM t" })).rejects.toMatchObject({
    code: "47",
    type: "UNKNOWN_IDENTIFIER",
  });
  await client.close();
});
