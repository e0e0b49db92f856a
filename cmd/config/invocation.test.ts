import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { readInvocation } from "./invocation.ts";
import { hostPorts, namedHosts, onOff, port, url } from "./kinds.ts";
import { asSecret, fileKeyOf, flagOf, optional, required, setting, variableOf } from "./setting.ts";
import * as settings from "./settings.ts";

const spec = {
  name: "gateway",
  description: "Takes clicks.",
  settings: {
    httpPort: setting(port, "HTTP", 8080),
    kafkaBrokers: required(hostPorts, "the brokers"),
    openReports: setting(onOff, "reports need no key", false),
    adminKey: settings.apiSettings.adminKey,
    redisUrl: optional(url("redis"), "Redis"),
    hosts: optional(namedHosts, "the hosts"),
    logLevel: settings.programSettings.logLevel,
  },
};

const FILE = "/etc/adtally.yaml";
interface Asked {
  readonly argv?: readonly string[];
  readonly env?: Record<string, string>;
  readonly file?: string;
}

const invoke = ({ argv = [], env = {}, file }: Asked) =>
  readInvocation(spec, {
    argv: file === undefined ? argv : [...argv, "--config", FILE],
    env,
    version: "1.2.3",
    readFile: () => file ?? "",
  });

const brokers = ["--kafka-brokers", "a:9092"];
function configOf(asked: Asked) {
  const out = invoke({ ...asked, argv: [...brokers, ...(asked.argv ?? [])] });
  if (out.kind !== "run") throw new Error(out.text);
  return out.config;
}
function faultsOf(asked: Asked, given: readonly string[] = brokers) {
  const out = invoke({ ...asked, argv: [...given, ...(asked.argv ?? [])] });
  return out.kind === "refused" ? out.faults : [];
}
const textOf = (asked: Asked) => {
  const out = invoke(asked);
  return out.kind === "run" ? "" : out.text;
};

describe("what holds", () => {
  test("a flag wins over a variable, a variable over the file, the file over the default", () => {
    const portOrNone = fc.option(fc.integer({ min: 0, max: 65_535 }), { nil: undefined });
    fc.assert(
      fc.property(portOrNone, portOrNone, portOrNone, (flag, variable, file) => {
        const config = configOf({
          argv: flag === undefined ? [] : ["--http-port", String(flag)],
          env: variable === undefined ? {} : { ADTALLY_HTTP_PORT: String(variable) },
          file: file === undefined ? "" : `http_port: ${file}`,
        });
        expect(config.httpPort).toBe(flag ?? variable ?? file ?? 8080);
      }),
    );
  });

  test("an empty variable is not given, a switch can be turned off by its flag", () => {
    expect(configOf({ env: { ADTALLY_HTTP_PORT: "" } }).httpPort).toBe(8080);
    expect(configOf({ env: { ADTALLY_OPEN_REPORTS: "yes" } }).openReports).toBe(true);
    expect(configOf({ argv: ["--no-open-reports"], file: "open_reports: true" }).openReports).toBe(false);
  });

  test("lists and maps are one thing as text and in a file, be it YAML or JSON", () => {
    const hosts = new Map([
      ["actor-0", "127.0.0.1:7070"],
      ["actor-1", "[::1]:7071"],
    ]);
    const text = "actor-0=127.0.0.1:7070,actor-1=[::1]:7071";
    const plain = { hosts: Object.fromEntries(hosts), kafka_brokers: ["b:1", "c:2"] };
    expect(configOf({ argv: ["--hosts", text] }).hosts).toEqual(hosts);
    expect(configOf({ env: { ADTALLY_HOSTS: text } }).hosts).toEqual(hosts);
    expect(configOf({ file: JSON.stringify(plain) }).hosts).toEqual(hosts);
    const out = invoke({ file: "kafka_brokers:\n  - b:1\n  - c:2\n" });
    expect(out).toMatchObject({ kind: "run", config: { kafkaBrokers: ["b:1", "c:2"] } });
  });

  test("no two settings share one of their names", () => {
    const names = Object.keys(settings.ALL_SETTINGS);
    for (const nameOf of [flagOf, variableOf, fileKeyOf]) {
      expect(new Set(names.map(nameOf)).size).toBe(names.length);
    }
    expect(["kafkaTlsCa", "host"].map(variableOf)).toEqual(["ADTALLY_KAFKA_TLS_CA", "ADTALLY_HOST"]);
  });
});

describe("what is refused", () => {
  test("all faults come at once, each by the name that its source has", () => {
    const faults = faultsOf(
      {
        argv: ["--http-port", "65536", "--bogus=x", "over"],
        env: { ADTALLY_LOG_LEVEL: "loud" },
        file: "a: 1\n\nhosts: 3",
      },
      [],
    );
    expect(faults).toEqual([
      "--bogus is not a flag",
      "over is not expected",
      `${FILE}:1 a: no program of adtally has such a setting`,
      "--http-port 65536: must be a port: a number from 0 to 65535, where 0 takes any free one",
      "--kafka-brokers is not set: the brokers; give it, or ADTALLY_KAFKA_BROKERS, or kafka_brokers in a --config file",
      `${FILE}:3 hosts 3: must be name=host:port, separated by commas; each name once`,
      "ADTALLY_LOG_LEVEL loud: must be one of debug, info, warn, error, silent",
    ]);
  });

  test.each([
    ["0", true],
    ["65535", true],
    ["65536", false],
    ["-1", false],
    ["1.5", false],
    ["0x50", false],
    ["8080 ", false],
  ])("the port %j is taken: %s", (text, taken) => {
    expect(faultsOf({ env: { ADTALLY_HTTP_PORT: text } })).toHaveLength(taken ? 0 : 1);
  });

  test("a wrong value is a fault where a stronger source wins, too", () => {
    expect(faultsOf({ argv: ["--http-port", "1"], env: { ADTALLY_HTTP_PORT: "x" } })).toEqual([
      "ADTALLY_HTTP_PORT x: must be a port: a number from 0 to 65535, where 0 takes any free one",
    ]);
  });

  test("a file's number is a number, not its text", () => {
    expect(faultsOf({ file: 'http_port: "80"' })).toEqual([
      `${FILE}:1 http_port 80: must be a port: a number from 0 to 65535, where 0 takes any free one`,
    ]);
  });

  test.each([
    ["a broken one", "http_port: [", `${FILE}:1: `],
    ["a key twice", "http_port: 1\nhttp_port: 2", `${FILE}:2: `],
    ["a list", "- 1", `${FILE}: must be a map of settings`],
  ])("a file: %s", (_, file, start) => {
    const [first = "", ...others] = faultsOf({ file });
    expect(others).toEqual([]);
    expect(first).toContain(start);
  });

  test("a file that is not there is named", () => {
    const out = readInvocation(spec, { argv: [...brokers, "--config", "/none.yaml"], env: {}, version: "" });
    expect(out.kind === "refused" && out.faults).toEqual([
      expect.stringContaining("/none.yaml: cannot be read: ENOENT"),
    ]);
  });

  test.each([
    ["a=b:1,a=c:1", "each name once"],
    ["a", "each name once"],
    ["a=b", "must be name=host:port (at a)"],
    ["", ""],
  ])("hosts %j", (text, why) => {
    const faults = faultsOf({ env: { ADTALLY_HOSTS: text } });
    expect(faults.join()).toContain(why);
    expect(faults).toHaveLength(why === "" ? 0 : 1);
  });

  test("a flag that there is not is one fault, with or without a value", () => {
    expect(faultsOf({ argv: ["--bogus", "1", "--other"] })).toEqual([
      "--bogus is not a flag",
      "--other is not a flag",
    ]);
  });

  test("a flag without its value", () => {
    expect(faultsOf({ argv: ["--http-port"] })).toEqual(["option '--http-port <port>' argument missing"]);
  });

  test("what the program checks across settings is said beside the rest", () => {
    const check = () => ["--state-dir or --redis-url is needed"];
    const out = readInvocation({ ...spec, check }, { argv: brokers, env: {}, version: "" });
    expect(out).toMatchObject({ kind: "refused", faults: ["--state-dir or --redis-url is needed"] });
  });
});

describe("secrets", () => {
  test("a secret or a URL's password is in nothing that is printed, right or wrong", () => {
    const word = fc.stringMatching(/^[a-z0-9]{12,20}$/);
    fc.assert(
      fc.property(
        word,
        word,
        fc.constantFrom("flag", "env", "file"),
        fc.boolean(),
        (key, password, from, wrong) => {
          const adminKey = wrong ? `${key}é` : key;
          const redisUrl = `${wrong ? "http" : "redis"}://user:${password}@localhost`;
          const asked: Record<string, Asked> = {
            flag: { argv: ["--admin-key", adminKey, "--redis-url", redisUrl] },
            env: { env: { ADTALLY_ADMIN_KEY: adminKey, ADTALLY_REDIS_URL: redisUrl } },
            file: { file: `admin_key: "${adminKey}"\nredis_url: ${redisUrl}` },
          };
          const { argv = [], ...rest } = asked[from]!;
          const text = textOf({ ...rest, argv: ["print-config", ...brokers, ...argv] });
          expect(text).toContain(wrong ? "2 settings are wrong" : 'admin_key: "********"');
          expect(text).not.toContain(key);
          expect(text).not.toContain(password);
        },
      ),
    );
  });

  test("a secret's default is not in the help", () => {
    const hidden = { ...spec, settings: { key: asSecret(settings.apiSettings.adminKey) } };
    const out = readInvocation(hidden, { argv: ["--help"], env: {}, version: "" });
    expect(out.kind === "answer" && out.text).toContain("[ADTALLY_KEY, key]");
  });
});

test("print-config shows each value with its source, and is a file that gives the same", () => {
  const text = textOf({
    argv: ["print-config", "--http-port", "0", "--hosts", "a=b:1"],
    env: { ADTALLY_KAFKA_BROKERS: "k:1,l:2", ADTALLY_OTHER: "1" },
    file: "open_reports: true\ndata_dir: /d",
  });
  const line = (key: string) =>
    text
      .split("\n")
      .find((each) => each.includes(key))
      ?.replace(/ {2,}/g, " ");
  expect(line("http_port")).toBe("http_port: 0 # flag --http-port");
  expect(line("kafka_brokers")).toBe("kafka_brokers: [ k:1, l:2 ] # env ADTALLY_KAFKA_BROKERS");
  expect(line("open_reports")).toBe(`open_reports: true # file ${FILE}:1`);
  expect(line("log_level")).toBe("log_level: info # default");
  expect(line("admin_key")).toBe("# admin_key: not set # default");
  expect(line("OTHER")).toBe("# ADTALLY_OTHER is set, and not read by this program");
  expect(line("data_dir")).toBe(`# ${FILE}:2 data_dir is for other programs`);
  expect(invoke({ file: text })).toMatchObject({
    kind: "run",
    config: { httpPort: 0, kafkaBrokers: ["k:1", "l:2"], openReports: true, hosts: new Map([["a", "b:1"]]) },
  });
  expect(parse(text)).not.toHaveProperty("admin_key");
});

test("--help names each setting's flag, variable and key; nothing else needs to be right", () => {
  const help = textOf({ argv: ["--help", "--http-port", "x"] }).replace(/\s+/g, " ");
  for (const name of Object.keys(spec.settings)) {
    for (const nameOf of [flagOf, variableOf, fileKeyOf]) expect(help).toContain(nameOf(name));
  }
  expect(help).toContain("default 8080");
  expect(textOf({ argv: ["--version"] })).toBe("gateway 1.2.3\n");
});
