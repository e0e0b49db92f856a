/** What commands decide without asking anybody: rotation's steps, cursors, the live screen, completion. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { systemRandom } from "../../../actors/runtime/clock.ts";
import { generateKeys, type TokenKeys } from "../../../actors/token/keys.ts";
import { createTokenCodec } from "../../../actors/token/token.ts";
import { completionScript } from "../completion.ts";
import { skewFinding } from "../doctor/finding.ts";
import { createProgram } from "../program.ts";
import { before } from "./dead-letters.ts";
import { lineOf, screenOf } from "./live.ts";
import { nextStep } from "./tokens.ts";

const idsOf = ({ keys }: TokenKeys) => [...keys.keys()].sort((a, b) => a - b);

test("a key comes, then signs, and no step forgets a key that has signed", async () => {
  const first = generateKeys(systemRandom);
  const came = nextStep(first, systemRandom, false).keys;
  expect([came.signingKeyId, idsOf(came)]).toEqual([1, [1, 2]]);
  const signs = nextStep(came, systemRandom, false).keys;
  expect([signs.signingKeyId, idsOf(signs)]).toEqual([2, [1, 2]]);
  expect(signs.keys.get(1)).toEqual(first.keys.get(1));
  expect(signs.keys.get(2)).toEqual(came.keys.get(2));
  await createTokenCodec(signs);
});

test("at once: a key comes and signs; past 255 comes 0", () => {
  const last = { signingKeyId: 255, keys: new Map([[255, systemRandom(32)]]) };
  const { keys } = nextStep(last, systemRandom, true);
  expect([keys.signingKeyId, idsOf(keys)]).toEqual([0, [0, 255]]);
  expect(nextStep(last, systemRandom, false).keys.keys.has(0)).toBe(true);
});

test("a dead letter is looked up behind the one before it", () => {
  expect(before("2-17-3")).toBe("2-17-2");
  expect(before("2-17-0")).toBe("2-16-9999999");
  expect(before("2-0-0")).toMatch(/^1-\d{15}-9999999$/);
  expect(before("0-0-0")).toBeUndefined();
  expect(() => before("17")).toThrow(/no dead letter's id/);
});

const second = (at: string, clicks: number, ad = "1") => ({
  second: `2026-11-22T01:40:${at}Z`,
  clicks_per_second: clicks,
  ads: clicks === 0 ? [] : [{ ad_id: ad, campaign_id: "2", advertiser_id: "3", clicks }],
  other_clicks: 0,
  over: true,
});

test("a second is a line, ads beyond the tenth are others", () => {
  const ads = Array.from({ length: 12 }, (_, i) => ({
    ad_id: String(i),
    campaign_id: "2",
    advertiser_id: "3",
    clicks: 1,
  }));
  const line = lineOf({ ...second("07", 15), ads, other_clicks: 3 });
  expect(line).toMatch(/^2026-11-22T01:40:07Z {7}15 clicks\/s {2}0: 1 {2}.*9: 1 {2}others: 5$/);
  expect(lineOf(second("08", 0))).toBe("2026-11-22T01:40:08Z        0 clicks/s");
});

test("the screen has the rate of the last whole second, and the ads with most first", () => {
  const lines = screenOf([second("07", 1), second("08", 8, "5"), { ...second("09", 1), over: false }], 80);
  expect(lines[0]).toBe("8 clicks/s at 2026-11-22T01:40:08Z; 10 in 3 s");
  expect(lines[1]).toBe("▁█▁");
  expect(lines[4]).toMatch(/^5 +2 +8 {2}/);
  expect(lines[5]).toMatch(/^1 +2 +2 {2}/);
});

test("a clock is off only by what the time of asking cannot explain", () => {
  expect(skewFinding("x", 10_000, 9_000, 11_000)).toBeUndefined();
  expect(skewFinding("x", 13_000, 9_000, 11_000)).toBeUndefined();
  expect(skewFinding("x", 20_000, 9_000, 11_000)?.detail).toMatch(/9\.0 s ahead/);
  expect(skewFinding("x", 1_000, 9_000, 11_000)?.detail).toMatch(/8\.0 s behind/);
});

const hasShell = (shell: string) => spawnSync(shell, ["-c", ":"]).status === 0;

function bashCompletes(...line: readonly string[]): readonly string[] {
  const script = `${completionScript(createProgram(), "bash")}
COMP_WORDS=(adtally "$@"); COMP_CWORD=$#; _adtally; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stderr, stdout } = spawnSync("bash", ["--norc", "-c", script, "bash", ...line], {
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  return stdout.split("\n").filter((word) => word !== "");
}

test.runIf(hasShell("bash"))("bash completes commands, their flags, and what a flag may be", () => {
  expect(bashCompletes("dead")).toEqual(["dead-letters"]);
  expect(bashCompletes("dead-letters", "")).toEqual(
    expect.arrayContaining(["list", "show", "replay", "--json"]),
  );
  expect(bashCompletes("--json", "ads", "i")).toEqual(["import"]);
  expect(bashCompletes("report", "--gran")).toEqual(["--granularity"]);
  expect(bashCompletes("report", "--granularity", "")).toEqual(["1m", "5m", "1h", "1d", "1w", "total"]);
  expect(bashCompletes("ads", "get", "--gran")).toEqual([]);
});

test.each(["zsh", "fish"] as const)(
  "%s has every command, and takes the script where it is installed",
  (shell) => {
    const script = completionScript(createProgram(), shell);
    for (const word of ["dead-letters", "replay", "splits", "rotate", "doctor", "completion"])
      expect(script).toContain(word);
    if (hasShell(shell))
      expect(spawnSync(shell, ["-n"], { input: script, encoding: "utf8" }).stderr).toBe("");
  },
);
