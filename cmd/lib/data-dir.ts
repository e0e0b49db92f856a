/** The data folder of a program, made and tried before anything is opened in it. */
import { mkdir, open, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AdtallyError, messageOf } from "../../actors/core/errors.ts";

/** Makes the folder where it is missing, and proves that it takes files. @throws CONFIG_INVALID */
export async function prepareDataDir(dir: string): Promise<void> {
  try {
    await makeFolder(dir);
    const probe = join(dir, `.probe-${process.pid}`);
    await (await open(probe, "w", 0o600)).close();
    await rm(probe);
  } catch (error) {
    const isFile = (await stat(dir).catch(() => undefined))?.isDirectory() === false;
    const why = isFile ? "it is a file, not a folder" : `it takes no files (${messageOf(error)})`;
    throw new AdtallyError(
      "CONFIG_INVALID",
      `the data folder ${dir} cannot be used: ${why}. Choose another with --data-dir`,
      { cause: error },
    );
  }
}

/** Not mkdir's own recursion: in a file system that makes no folders, such as /proc, that never ends. */
async function makeFolder(dir: string): Promise<void> {
  const make = () => mkdir(dir, { mode: 0o700 });
  try {
    await make();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || dirname(dir) === dir) throw error;
    await makeFolder(dirname(dir));
    await make();
  }
}
