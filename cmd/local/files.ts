/**
 * The small files of a data folder: routing table, token keys, admin key. Each is written
 * whole or not at all (a temporary file, synced, then renamed), readable by its owner alone.
 *
 *  F1 A routing table or a key that changed by itself, be it by one bit, is refused: clicks would
 *     part from their copies, or be taken for forged. Hence the checksum in both files.
 *  F2 Where clicks have been counted neither file is made anew: that would come to the same.
 */
import { crc32 } from "node:zlib";
import { open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { Limits } from "../../actors/core/limits.ts";
import { generateKey } from "../../actors/keys/api-key.ts";
import { addGeneration, emptyTable, type RoutingTable } from "../../actors/routing/table.ts";
import { decodeTable, encodeTable } from "../../actors/routing/table-json.ts";
import type { RandomBytes } from "../../actors/runtime/clock.ts";
import { formatKeyFile, generateKeys, parseKeyFile, type TokenKeys } from "../../actors/token/keys.ts";

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new AdtallyError("CONFIG_INVALID", `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
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

function inFile<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new AdtallyError("CONFIG_INVALID", `${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** The object with a checksum of its other fields as its first (F1). */
function withChecksum(json: string): string {
  const { crc32: _before, ...fields } = JSON.parse(json) as Record<string, unknown>;
  return `${JSON.stringify({ crc32: checksumOf(fields), ...fields }, null, 2)}\n`;
}

function checksumOf(fields: object): string {
  return crc32(JSON.stringify(fields)).toString(16).padStart(8, "0");
}

/** What cannot be parsed is told by the parser of the file's own form. */
function assertChecksum(path: string, text: string): void {
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

function assertFresh(path: string, isFresh: boolean): void {
  if (isFresh) return;
  throw new AdtallyError(
    "CONFIG_INVALID",
    `${path} is missing, though clicks have been counted here: restore it, or start on a folder of its own`,
  );
}

/** The table as kept, with a generation added where `shards` is not what the newest one has. */
export async function loadRouting(
  dataDir: string,
  shards: number,
  nowMs: number,
  limits: Limits,
  isFresh: boolean,
): Promise<RoutingTable> {
  const path = join(dataDir, "routing.json");
  const text = await readIfThere(path);
  if (text === undefined) assertFresh(path, isFresh);
  else assertChecksum(path, text);
  const table = text === undefined ? emptyTable(nowMs) : inFile(path, () => decodeTable(text, nowMs, limits));
  if (table.newestFirst[0]?.shardCount === shards) return table;
  const changed = addGeneration(table, { shardCount: shards }, nowMs, limits);
  await writeWhole(path, withChecksum(encodeTable(changed)));
  return changed;
}

export async function loadTokenKeys(
  dataDir: string,
  random: RandomBytes,
  isFresh: boolean,
): Promise<TokenKeys> {
  const path = join(dataDir, "token-keys.json");
  const text = await readIfThere(path);
  if (text !== undefined) {
    assertChecksum(path, text);
    return inFile(path, () => parseKeyFile(text));
  }
  assertFresh(path, isFresh);
  const keys = generateKeys(random);
  await writeWhole(path, withChecksum(formatKeyFile(keys)));
  return keys;
}

/** The key that this folder's admin uses where none is given; kept for its owner's eyes, as ssh keeps keys. */
export async function loadAdminKey(
  dataDir: string,
  random: RandomBytes,
): Promise<{ key: string; path: string }> {
  const path = join(dataDir, "admin-key");
  const text = await readIfThere(path);
  if (text !== undefined) return { key: text.trim(), path };
  const key = generateKey(random);
  await writeWhole(path, `${key}\n`);
  return { key, path };
}
