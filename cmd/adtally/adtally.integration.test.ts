/** Every command of the real binary against all of adtally in one process: text, --json, exit codes. */
import { mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials, loadPackageDefinition, Metadata, type ServiceClientConstructor } from "@grpc/grpc-js";
import { v7 } from "uuid";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { loadProtos } from "../../actors/adapters/grpc/protos.ts";
import { ADMIN_KEY, runCli, startAdtally, type Started } from "./cli.fixture.ts";

const LATE_MS = 10 * 60_000;
// Each look starts two processes, and the machine may be busy with others.
const POLL = { timeout: 60_000 };
vi.setConfig({ testTimeout: 240_000 });

let dir: string;
let adtally: Started;

const cli = (args: readonly string[], env: Readonly<Record<string, string>> = {}, input = "") =>
  runCli(dir, args, { ADTALLY_URL: adtally.url, ADTALLY_KEY: ADMIN_KEY, ...env }, input);

async function json(args: readonly string[]) {
  const ran = await cli([...args, "--json"]);
  expect(ran, args.join(" ")).toMatchObject({ code: 0 });
  return JSON.parse(ran.out);
}

const ad = (id: string) =>
  JSON.stringify({
    ad_id: id,
    campaign_id: "7",
    advertiser_id: "1",
    destination_url: "https://example.com/shoes",
    title: "Shoes",
  });

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "adtally-cli-"));
  adtally = await startAdtally(join(dir, "data"));
  expect((await cli(["ads", "import", "-"], {}, ["77", "78", "79"].map(ad).join("\n"))).code).toBe(0);
});
afterAll(async () => {
  await adtally?.kill();
  await rm(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

describe("ads", () => {
  test("import takes what is good, names the lines that are not, and ends with 1 then", async () => {
    await writeFile(join(dir, "ads.ndjson"), `${ad("77")}\n${ad("78")}\n`);
    expect(await cli(["ads", "import", "ads.ndjson"])).toMatchObject({
      code: 0,
      out: "2 of 2 ads imported\n",
      err: "",
    });
    const mixed = await cli(["ads", "import", "-"], {}, `${ad("79")}\n{"ad_id":"x"}\n`);
    expect(mixed).toMatchObject({ code: 1, out: "1 of 2 ads imported\n" });
    expect(mixed.err).toMatch(/^-:2: ad_id must be/m);
    expect(mixed.err).toMatch(/1 of 2 lines rejected \(LINES_REJECTED\)/);
    const told = await cli(["ads", "import", "-", "--json"], {}, "not json\n");
    expect(told.code).toBe(1);
    expect(JSON.parse(told.out)).toMatchObject({ lines: 1, imported: 0, rejected: 1 });
    expect(JSON.parse(told.err)).toMatchObject({ error: { code: "LINES_REJECTED", exit_code: 1 } });
    expect((await cli(["ads", "import", "nowhere.ndjson"])).code).toBe(2);
  });

  test("get tells one ad, or ends with 5", async () => {
    expect((await cli(["ads", "get", "77"])).out).toMatch(
      /^ad +campaign.*\n77 +7 +1 +Shoes +https:\/\/example\.com\/shoes\n$/,
    );
    expect(await json(["ads", "get", "77"])).toMatchObject({ ad_id: "77", title: "Shoes" });
    const missing = await cli(["ads", "get", "1234"]);
    expect(missing).toMatchObject({ code: 5, out: "" });
    expect(missing.err).toMatch(
      /ad 1234 is not in the catalogue[^]*where: GET [^]*what to do: adtally ads list/,
    );
  });

  test("list tells them in order, page by page", async () => {
    await expect.poll(async () => (await json(["ads", "list"])).ads.length, POLL).toBe(3);
    expect((await json(["ads", "list", "--limit", "2"])).next).toBe("78");
    const rest = await cli(["ads", "list", "--after", "78", "--campaign", "7"]);
    expect(rest.out.trim().split("\n")).toEqual([
      expect.stringMatching(/^ad /),
      expect.stringMatching(/^79 /),
    ]);
    expect((await cli(["ads", "list", "--limit", "many"])).code).toBe(2);
    expect((await cli(["ads", "list", "--campaign", "x"])).err).toContain("campaign_id must be");
  });
});

describe("a click", () => {
  test("is made, counted once however often, explained and reported", async () => {
    const clicked = await json(["click", "77", "--times", "2"]);
    expect(clicked.redirects).toEqual([
      { status: 302, location: "https://example.com/shoes", is_kept: true },
      { status: 302, location: "https://example.com/shoes", is_kept: true },
    ]);
    expect(clicked.explanation).toMatchObject({ counted: true, verdict: "ACCEPTED" });
    expect(clicked.explanation.rows.map(({ verdict }: { verdict: string }) => verdict)).toEqual([
      "ACCEPTED",
      "DUPLICATE",
    ]);

    const id: string = clicked.impression_id;
    const explained = await cli(["explain", id]);
    expect(explained).toMatchObject({ code: 0, err: "" });
    expect(explained.out).toMatch(new RegExp(`^${id}: counted, ACCEPTED\\nad 77, campaign 7, advertiser 1`));
    expect(await json(["explain", id])).toMatchObject({ impression_id: id, counted: true });

    await expect
      .poll(async () => (await json(["report", "--ad", "77", "--granularity", "total"])).total, POLL)
      .toMatchObject({ clicks: 1, duplicates: 1 });
    const report = await cli(["report", "--ad", "77", "--from", "-2h", "--to", "now"]);
    expect(report).toMatchObject({ code: 0, err: "" });
    expect(report.out).toMatch(/█/);
    expect(report.out).toMatch(/^start +clicks +invalid +duplicates/m);
    expect(report.out).toMatch(/^total +clicks 1, invalid 0, duplicates 1$/m);
    const csv = await cli(["report", "--ad", "77", "--granularity", "total", "--csv"]);
    expect(csv.out.split("\r\n")[0]).toMatch(/^start,end,clicks,invalid,duplicates/);
    expect(csv.out.split("\r\n")[1]).toMatch(/,1,0,1/);
  });

  test("is said in text, and --no-wait leaves the verdict", async () => {
    const clicked = await cli(["click", "78"]);
    expect(clicked).toMatchObject({ code: 0, err: "" });
    expect(clicked.out).toMatch(
      /^clicked http\S+: 302 to https:\/\/example\.com\/shoes\n[0-9a-f-]{36}: counted, ACCEPTED/,
    );
    expect((await cli(["click", "78", "--no-wait"])).out).toMatch(/adtally explain [0-9a-f-]{36} says/);
    expect((await cli(["click", "1234"])).code).toBe(5);
  });

  test("that nobody knows is 5, and one without a UUID is refused", async () => {
    expect((await cli(["explain", "019bf000-0000-7000-8000-000000000001"])).code).toBe(5);
    expect(await cli(["explain", "x"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("must be a UUID"),
    });
  });

  test("a report that cannot be is refused with the API's own words", async () => {
    const refused = await cli(["report", "--from", "yesterday"]);
    expect(refused).toMatchObject({ code: 1, out: "" });
    expect(refused.err).toMatch(/INPUT_INVALID/);
    expect((await cli(["report", "--granularity", "2h"])).code).toBe(2);
    expect((await cli(["report", "--csv", "--json"])).code).toBe(2);
  });
});

describe("dead letters", () => {
  /** On an impression of twenty minutes ago, and clicked ten minutes before it came. */
  async function lateClick(): Promise<string> {
    const contracts = loadPackageDefinition(loadProtos()) as unknown as {
      adtally: { v1: { ClickService: ServiceClientConstructor } };
    };
    const client = new contracts.adtally.v1.ClickService(adtally.grpcAddress, credentials.createInsecure());
    const key = new Metadata();
    key.set("authorization", `Bearer ${ADMIN_KEY}`);
    const nowMs = Date.now();
    const clickId = v7({ msecs: nowMs - 2 * LATE_MS }, Buffer.alloc(16));
    const click = { clickId, adId: "79", clickedAtMs: String(nowMs - LATE_MS) };
    const { verdict } = await new Promise<{ verdict: string }>((done, failed) => {
      client["submitClick"]!({ click }, key, (error: Error | null, answer: { verdict: string }) =>
        error === null ? done(answer) : failed(error),
      );
    });
    client.close();
    return verdict;
  }

  test("are listed, shown and replayed", async () => {
    expect(await cli(["dead-letters", "list"])).toMatchObject({ code: 0, err: "no dead letters\n" });
    expect(await lateClick()).toContain("LATE");
    await expect.poll(async () => (await json(["dead-letters", "list"])).dead_letters.length, POLL).toBe(1);
    const [{ id }] = (await json(["dead-letters", "list"])).dead_letters;
    expect((await cli(["dead-letters", "list"])).out).toMatch(
      new RegExp(`^${id} +LATE +CLICK_TIME_TOO_OLD +79 `, "m"),
    );
    expect((await json(["dead-letters", "show", id])).dead_letter).toMatchObject({
      id,
      verdict: "LATE",
      ad_id: "79",
    });
    expect((await cli(["dead-letters", "show", id])).out).toMatch(/^impression_id +[0-9a-f-]{36}$/m);
    expect(await json(["dead-letters", "replay", id])).toMatchObject({ id, verdict: "ACCEPTED" });
    expect((await cli(["dead-letters", "replay", id])).out).toMatch(new RegExp(`^${id} +DUPLICATE`, "m"));
  });

  test("that are none: 5, and 2 for what is no id", async () => {
    expect((await cli(["dead-letters", "show", "0-999-0"])).code).toBe(5);
    expect((await cli(["dead-letters", "replay", "0-999-0"])).code).toBe(5);
    expect((await cli(["dead-letters", "show", "x"])).code).toBe(2);
  });
});

test("shards tell owner, offsets, lag and watermark; splits the generations", async () => {
  const { shards } = await json(["shards"]);
  expect(shards).toHaveLength(4);
  for (const shard of shards)
    expect(shard).toMatchObject({ epoch: 1, in_use: true, host: expect.any(String) });
  await expect
    .poll(
      async () =>
        (await json(["shards"])).shards.every(({ lag_blocks: lag }: { lag_blocks: number }) => lag === 0),
      POLL,
    )
    .toBe(true);
  expect((await cli(["shards"])).out).toMatch(/^shard +owner +epoch +in use +log +counted +lag +watermark$/m);
  expect(await json(["splits"])).toMatchObject({
    generations: [{ generation: 1, in_force: true, shards: 4, splits: [] }],
  });
  expect((await cli(["splits"])).out).toMatch(/1 +now, from the beginning +4 +no ad is split/);
});

test("keys are made, listed and revoked; a key that may not, or is not known, is 4", async () => {
  const made = await cli(["keys", "create", "--name", "ad server", "--scope", "placement"]);
  expect(made).toMatchObject({ code: 0, out: expect.stringMatching(/^adk_\S+\n$/) });
  const key = made.out.trim();
  const [{ key_id: id }] = (await json(["keys", "list"])).keys;
  expect((await cli(["keys", "list"])).out).toMatch(new RegExp(`^${id} +ad server +placement`, "m"));
  expect(await cli(["keys", "list"], { ADTALLY_KEY: key })).toMatchObject({
    code: 4,
    err: expect.stringContaining("PERMISSION_DENIED"),
  });
  await writeFile(join(dir, "key-file"), `${key}\n`);
  expect((await cli(["click", "78", "--no-wait", "--key-file", "key-file"], { ADTALLY_KEY: "" })).code).toBe(
    0,
  );
  expect(await json(["keys", "revoke", id])).toEqual({ key_id: id, revoked: true });
  expect(await cli(["ads", "get", "77"], { ADTALLY_KEY: key })).toMatchObject({ code: 4 });
  expect((await cli(["keys", "revoke", id])).code).toBe(5);
  expect((await cli(["keys", "create", "--name", "x", "--scope", "everything"])).code).toBe(2);
});

test("tokens rotate step by step, and an old key stays while its tokens may be out", async () => {
  const file = join(dir, "data/token-keys.json");
  const at = ["--token-keys-file", file];
  expect(await json(["tokens", "show", ...at])).toMatchObject({ signing_key_id: 1, key_ids: [1] });
  expect((await cli(["tokens", "rotate", ...at])).out).toMatch(
    /key 2 is there, key 1 signs as before\nnext: restart every gateway/,
  );
  expect(await json(["tokens", "rotate", ...at])).toMatchObject({ signing_key_id: 2, key_ids: [1, 2] });
  expect(await cli(["tokens", "retire", "1", ...at])).toMatchObject({
    code: 1,
    err: expect.stringContaining("TOKENS_OUT"),
  });
  expect((await cli(["tokens", "retire", "2", ...at])).code).toBe(1);
  expect((await cli(["tokens", "retire", "9", ...at])).code).toBe(2);
  const longAgo = Date.now() / 1_000 - 86_400;
  await utimes(file, longAgo, longAgo);
  expect(await json(["tokens", "retire", "1", ...at])).toMatchObject({ key_ids: [2] });
  expect((await cli(["tokens", "show", ...at])).out).toMatch(/^ +2 +signs$/m);
  expect((await cli(["tokens", "show", "--token-keys-file", "nowhere"])).code).toBe(5);
  await writeFile(file, (await readFile(file, "utf8")).replace(/"2": "./, '"2": "/'));
  expect(await cli(["tokens", "show", ...at])).toMatchObject({
    code: 1,
    err: expect.stringContaining("checksum"),
  });
});

test("doctor says what is well, and what is not with what to do", async () => {
  const well = await json(["doctor", "--clickhouse-url", adtally.clickhouseUrl]);
  expect(well.ok).toBe(true);
  const statusOf = (check: string) =>
    well.findings.find((each: { check: string }) => each.check === check)?.status;
  expect(["gateway and query", "key", "shards", "clickhouse", "kafka", "redis"].map(statusOf)).toEqual([
    "ok",
    "ok",
    "ok",
    "ok",
    "skipped",
    "skipped",
  ]);
  const nobody = "127.0.0.1:9";
  const ill = await cli(
    [
      "doctor",
      "--kafka-brokers",
      nobody,
      "--redis-url",
      `redis://${nobody}`,
      "--clickhouse-url",
      `http://${nobody}`,
    ],
    { ADTALLY_TIMEOUT_SECONDS: "20", ADTALLY_KEY: "no-such-key" },
  );
  expect(ill.code).toBe(1);
  for (const check of ["kafka", "redis", "clickhouse", "key"])
    expect(ill.out).toMatch(new RegExp(`^failed +${check} +\\S.*\\n +→ \\S`, "m"));
});

test("live tells a line a second, or events as JSON, until it has had enough", async () => {
  const lines = await cli(["live", "--seconds", "1"]);
  expect(lines, lines.err).toMatchObject({ code: 0 });
  expect(lines.out).toMatch(/^\d{4}-\d\d-\d\dT\S+Z +\d+ clicks\/s/);
  const events = await cli(["live", "--seconds", "1", "--json", "--ad", "77"]);
  const told = events.out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(told.at(-1)).toMatchObject({ event: "second", over: true });
  expect((await cli(["live", "--ad", "x"])).code).toBe(1);
});

test("no colour where no terminal reads, none with NO_COLOR, and none where FORCE_COLOR meets --no-color", async () => {
  expect((await cli(["shards"])).out).not.toContain("\u001b");
  expect((await cli(["shards", "--no-color"], { FORCE_COLOR: "1" })).out).not.toContain("\u001b");
});
