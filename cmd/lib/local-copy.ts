/** A LocalCopy in a checked file (checked-file.ts); one that is set aside is kept until the next. */
import { rename } from "node:fs/promises";
import { isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { LocalCopy } from "../../actors/replica/local-copy.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import { assertChecksum, readIfThere, withChecksum, writeWhole } from "./checked-file.ts";

export async function openLocalCopy(file: string, logger: Logger): Promise<LocalCopy> {
  async function setAside(why: string): Promise<void> {
    const setAsideAs = `${file}.set-aside`;
    await rename(file, setAsideAs).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    });
    logger.error({ copy: file, setAsideAs, why }, "a copy of what was published is discarded");
  }

  async function read(): Promise<string | undefined> {
    const text = await readIfThere(file);
    if (text === undefined) return undefined;
    try {
      assertChecksum(file, text);
      const { crc32, ...fields } = JSON.parse(text) as Record<string, unknown>;
      if (typeof crc32 === "string") return JSON.stringify(fields);
      await setAside("it has no checksum");
    } catch (error) {
      if (!isAdtallyError(error, "CONFIG_INVALID") && !(error instanceof SyntaxError)) throw error;
      await setAside(`it is damaged (${messageOf(error)})`);
    }
    return undefined;
  }

  const text = await read();
  let saving: Promise<void> = Promise.resolve();
  return {
    text,
    save(next) {
      const own = saving.then(() => writeWhole(file, withChecksum(next)));
      saving = own.catch(() => undefined);
      return own;
    },
    setAside,
  };
}
