/** From flags, variables and files to what holds. */
import { expect, test } from "vitest";
import { Failure } from "./failure.ts";
import { readSettings, type Told } from "./settings.ts";

const CLUSTER = ".adtally-cluster/adtally.yaml";

function told(given: Partial<Told> & { readonly files?: Readonly<Record<string, string>> }): Told {
  const { files = {}, ...rest } = given;
  return {
    flags: {},
    env: {},
    home: "/home/ann",
    exists: (file) => file in files,
    readFile: (file) => {
      if (files[file] === undefined) throw new Error("ENOENT: no such file");
      return files[file];
    },
    ...rest,
  };
}

const faultOf = (given: Told): Failure => {
  try {
    readSettings(given);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("nothing was refused");
};

test("without anything npm start on this machine is meant", () => {
  expect(readSettings(told({}))).toMatchObject({
    url: "http://127.0.0.1:8080",
    queryUrl: "http://127.0.0.1:8080",
    key: undefined,
    timeoutSeconds: 30,
  });
});

test("a flag wins over a variable, a variable over the file", () => {
  const files = { "/home/ann/.config/adtally/config.yaml": "url: http://file:1\nkey: key-of-the-file\n" };
  const env = { ADTALLY_URL: "http://variable:1" };
  expect(readSettings(told({ files })).url).toBe("http://file:1");
  expect(readSettings(told({ files, env })).url).toBe("http://variable:1");
  expect(readSettings(told({ files, env, flags: { url: "http://flag:1/" } }))).toMatchObject({
    url: "http://flag:1",
    queryUrl: "http://flag:1",
    key: "key-of-the-file",
  });
});

test("XDG_CONFIG_HOME moves the file, --config and ADTALLY_CLI_CONFIG name another", () => {
  const files = { "/xdg/adtally/config.yaml": "url: http://xdg:1", "/other": "url: http://other:1" };
  expect(readSettings(told({ files, env: { XDG_CONFIG_HOME: "/xdg" } })).url).toBe("http://xdg:1");
  expect(readSettings(told({ files, env: { ADTALLY_CLI_CONFIG: "/other" } })).url).toBe("http://other:1");
  expect(readSettings(told({ files, flags: { config: "/other" } })).url).toBe("http://other:1");
});

test("a cluster's own file will do: its backends, and its admin's key", () => {
  const files = {
    [CLUSTER]:
      'host: 127.0.0.1\nlog_level: warn\nkafka_brokers: ["127.0.0.1:9092"]\nclickhouse_url: http://127.0.0.1:1\nadmin_key: admin-of-cluster\n',
  };
  expect(readSettings(told({ files, flags: { config: CLUSTER } }))).toMatchObject({
    kafkaBrokers: ["127.0.0.1:9092"],
    clickhouseUrl: "http://127.0.0.1:1",
    key: "admin-of-cluster",
  });
});

test("the key of the folder goes to this machine alone", () => {
  const files = { ".adtally/admin-key": "adk_of-this-folder\n" };
  expect(readSettings(told({ files })).key).toBe("adk_of-this-folder");
  expect(readSettings(told({ files, flags: { key: "another-key" } })).key).toBe("another-key");
  for (const url of ["https://clicks.example.com", "http://127.evil.example", "http://10.0.0.1:8080"])
    expect(readSettings(told({ files, flags: { url } })).key).toBeUndefined();
});

test("all that is wrong is said at once, by name, and no key is quoted", () => {
  const files = { "/c.yaml": "url: http://x\nfrobs: 3\n" };
  const flags = { config: "/c.yaml", url: "gateway", key: "has a blank", timeoutSeconds: "0" };
  const { exitCode, message } = faultOf(told({ files, flags, env: { ADTALLY_QUERY_URL: "ftp://q" } }));
  expect(exitCode).toBe(2);
  for (const part of [
    "--url gateway",
    "/c.yaml:2 frobs",
    "--key",
    "--timeout-seconds 0",
    "ADTALLY_QUERY_URL ftp://q",
  ])
    expect(message).toContain(part);
  expect(message).not.toContain("has a blank");
});

test("a file that is named and not there is a fault", () => {
  expect(faultOf(told({ flags: { config: "/nowhere" } })).message).toContain("/nowhere: cannot be read");
});
