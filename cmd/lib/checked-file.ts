/**
 * Small JSON files that must not change by themselves: written whole or not at all (a temporary
 * file, synced, then renamed), readable by their owner alone, with a checksum of their own fields.
 */
import { crc32 } from "node:zlib";
import { open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { AdtallyError, messageOf } from "../../actors/core/errors.ts";

export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new AdtallyError("CONFIG_INVALID", `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const folder = await open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The object with a checksum of its other fields as its first. */
export function withChecksum(json: string): string {
  const { crc32: _before, ...fields } = JSON.parse(json) as Record<string, unknown>;
  return `${JSON.stringify({ crc32: checksumOf(fields), ...fields }, null, 2)}\n`;
}

function checksumOf(fields: object): string {
  return crc32(JSON.stringify(fields)).toString(16).padStart(8, "0");
}

/** What cannot be parsed is told by the parser of the file's own form. @throws CONFIG_INVALID */
export function assertChecksum(path: string, text: string): void {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return;
  }
  if (typeof value !== "object" || value === null || !("crc32" in value)) return;
  const { crc32: stated, ...fields } = value;
  if (stated === checksumOf(fields)) return;
  throw new AdtallyError(
    "CONFIG_INVALID",
    `${path}: its checksum does not hold: it was damaged; restore it. If you changed it on purpose, remove its field "crc32"`,
  );
}
