import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { readInvocation } from "./invocation.ts";
import { kafkaSettings } from "./settings.ts";

const spec = { name: "gateway", description: "", settings: { kafkaPassword: kafkaSettings.kafkaPassword } };
const FILES: Readonly<Record<string, string>> = {
  "/run/secrets/kafka": "hush-1\n",
  "/run/secrets/empty": "\n",
};
const SECRET = "/run/secrets/kafka";

interface Asked {
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly file?: string;
}
const invoke = ({ argv = [], env = {}, file }: Asked) =>
  readInvocation(spec, {
    argv: file === undefined ? argv : [...argv, "--config", "/adtally.yaml"],
    env,
    version: "",
    readFile(path) {
      const text = path === "/adtally.yaml" ? file : FILES[path];
      if (text === undefined) throw new Error("ENOENT");
      return text;
    },
  });
const passwordOf = (asked: Asked) => {
  const out = invoke(asked);
  return out.kind === "run" ? out.config.kafkaPassword : out;
};
const faultsOf = (asked: Asked) => {
  const out = invoke(asked);
  return out.kind === "refused" ? out.faults : [];
};

describe("a secret from a file", () => {
  test.each<[string, Asked]>([
    ["a flag", { argv: ["--kafka-password-file", SECRET] }],
    ["the environment", { env: { ADTALLY_KAFKA_PASSWORD_FILE: SECRET } }],
    ["the file of settings", { file: `kafka_password_file: ${SECRET}` }],
    [
      "a stronger source than the secret",
      {
        argv: ["--kafka-password-file", SECRET],
        env: { ADTALLY_KAFKA_PASSWORD: "hush-2" },
      },
    ],
  ])("is named by %s", (_, asked) => {
    expect(passwordOf(asked)).toBe("hush-1");
  });

  test("yields to a secret from a stronger source", () => {
    const asked = { env: { ADTALLY_KAFKA_PASSWORD: "hush-2" }, file: `kafka_password_file: ${SECRET}` };
    expect(passwordOf(asked)).toBe("hush-2");
  });

  test.each<[string, Asked, string]>([
    [
      "both from one source",
      { env: { ADTALLY_KAFKA_PASSWORD: "hush-2", ADTALLY_KAFKA_PASSWORD_FILE: SECRET } },
      "--kafka-password and --kafka-password-file are both given: leave one out",
    ],
    [
      "a file that is not there",
      { argv: ["--kafka-password-file", "/none"] },
      "--kafka-password-file /none: it cannot be read: ENOENT",
    ],
    [
      "a file that holds none",
      { argv: ["--kafka-password-file", "/run/secrets/empty"] },
      "--kafka-password-file /run/secrets/empty: what it holds must be printable ASCII without spaces",
    ],
  ])("%s is refused by name", (_, asked, fault) => {
    expect(faultsOf(asked)).toEqual([fault]);
  });

  test("print-config masks it, says where it is from, and is a file that gives the same", () => {
    const out = invoke({ argv: ["print-config"], env: { ADTALLY_KAFKA_PASSWORD_FILE: SECRET } });
    const text = out.kind === "answer" ? out.text : "";
    expect(text).not.toContain("hush");
    expect(text).toMatch(/^# kafka_password: \*{8} +# file \/run\/secrets\/kafka$/m);
    expect(text).toMatch(/^kafka_password_file: \/run\/secrets\/kafka +# env ADTALLY_KAFKA_PASSWORD_FILE$/m);
    expect(parse(text)).toEqual({ kafka_password_file: SECRET });
    expect(passwordOf({ file: text })).toBe("hush-1");
  });

  test("is in the help", () => {
    const out = invoke({ argv: ["--help"] });
    expect(out.kind === "answer" && out.text).toContain("--kafka-password-file <path>");
  });
});
