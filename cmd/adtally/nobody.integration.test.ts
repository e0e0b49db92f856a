/** What the real binary ends with where there is no adtally, or none was asked: exit codes 0, 2 and 3. */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { ADMIN_KEY, runCli } from "./cli.fixture.ts";

// Each run starts two processes, and the machine may be busy with others.
vi.setConfig({ testTimeout: 240_000 });

let dir: string;
const cli = (args: readonly string[]) => runCli(dir, args, { ADTALLY_KEY: ADMIN_KEY });

/** Where nothing listens: it was free a moment ago. */
async function nobodysUrl(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return `http://127.0.0.1:${port}`;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "adtally-cli-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

test("nobody there is 3, with what to do", async () => {
  const nobody = await nobodysUrl();
  const gone = await cli(["ads", "get", "77", "--url", nobody]);
  expect(gone).toMatchObject({ code: 3, out: "" });
  expect(gone.err).toMatch(
    /nothing listens at 127\.0\.0\.1:\d+ \(UNREACHABLE\)[^]*what to do: start it \(npm start\), or say where it is: --url/,
  );
  for (const command of [["live"], ["report", "--csv"], ["shards"]]) {
    const told = await cli([...command, "--query-url", nobody]);
    expect(told, command.join(" ")).toMatchObject({ code: 3, out: "" });
  }
  const told = await cli(["live", "--json", "--query-url", nobody]);
  expect(JSON.parse(told.err)).toMatchObject({ error: { code: "UNREACHABLE", exit_code: 3 } });
  await writeFile(join(dir, "ads.ndjson"), "{}\n");
  expect((await cli(["ads", "import", "ads.ndjson", "--url", nobody])).code).toBe(3);
});

test("one that never answers is 3 when its time is up, and another's server is told from adtally", async () => {
  const server = createServer((request, response) => {
    if (request.url?.includes("get") === false) response.end("<html>hello</html>");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const other = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    expect(await cli(["shards", "--query-url", other])).toMatchObject({
      code: 1,
      err: expect.stringContaining("NOT_ADTALLY"),
    });
    expect(await cli(["explain", "get", "--query-url", other, "--timeout-seconds", "1"])).toMatchObject({
      code: 3,
      err: expect.stringContaining("no answer within 1 s"),
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("what is written wrongly is 2, with nothing asked; help and version are 0", async () => {
  for (const args of [
    ["frob"],
    ["ads"],
    ["ads", "get"],
    ["report", "--frob"],
    ["ads", "get", "77", "--url", "gateway"],
  ])
    expect(await cli(args), args.join(" ")).toMatchObject({ code: 2 });
  const told = await cli(["frob", "--json"]);
  expect(JSON.parse(told.err)).toMatchObject({ error: { code: "USAGE", exit_code: 2 } });
  expect(await cli(["--help"])).toMatchObject({
    code: 0,
    err: "",
    out: expect.stringContaining("Exit codes:"),
  });
  expect((await cli(["--version"])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  expect(await cli(["completion", "bash"])).toMatchObject({
    code: 0,
    out: expect.stringContaining("complete -F _adtally adtally"),
  });
});
