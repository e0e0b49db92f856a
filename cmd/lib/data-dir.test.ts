import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { prepareDataDir } from "./data-dir.ts";

const dir = await mkdtemp(join(tmpdir(), "adtally-precheck-"));
afterAll(() => rm(dir, { recursive: true, force: true }));

describe("the data folder", () => {
  test("is made with the folders above it, for its owner alone, and taken again", async () => {
    const deep = join(dir, "a", "b", "c");
    await prepareDataDir(deep);
    expect((await stat(deep)).mode & 0o777).toBe(0o700);
    await prepareDataDir(deep);
  });

  test("--data-dir that is a file is refused by name", async () => {
    const file = join(dir, "file");
    await writeFile(file, "");
    await expect(prepareDataDir(file)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(/it is a file, not a folder.*--data-dir/) as string,
    });
    await expect(prepareDataDir(join(file, "below"))).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test.runIf(process.platform === "linux").each(["/proc", "/proc/adtally", "/proc/adtally/data"])(
    "--data-dir %s kept the start spinning, is refused at once",
    async (where) => {
      await expect(prepareDataDir(where)).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringContaining("--data-dir") as string,
      });
    },
    2_000,
  );
});
