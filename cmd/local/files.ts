/**
 * The small files of a data folder: routing table, token keys, admin key. Each is written
 * whole or not at all (a temporary file, synced, then renamed), readable by its owner alone.
 *
 *  F1 A routing table or a key that changed by itself, be it by one bit, is refused: clicks would
 *     part from their copies, or be taken for forged. Hence the checksum in both files.
 *  F2 Where clicks have been counted neither file is made anew: that would come to the same.
 */
import { join } from "node:path";
import { AdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { Limits } from "../../actors/core/limits.ts";
import { generateKey } from "../../actors/keys/api-key.ts";
import { addGeneration, emptyTable, type RoutingTable } from "../../actors/routing/table.ts";
import { decodeTable, encodeTable } from "../../actors/routing/table-json.ts";
import type { RandomBytes } from "../../actors/runtime/clock.ts";
import { formatKeyFile, generateKeys, parseKeyFile, type TokenKeys } from "../../actors/token/keys.ts";
import { assertChecksum, readIfThere, withChecksum, writeWhole } from "../lib/checked-file.ts";

function inFile<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new AdtallyError("CONFIG_INVALID", `${path}: ${messageOf(error)}`, { cause: error });
  }
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

/** The keys that sign links of shared reports. Made anew where they are missing: then links are dead, and no more. */
export async function loadShareKeys(dataDir: string, random: RandomBytes): Promise<TokenKeys> {
  const file = join(dataDir, "share-keys.json");
  const text = await readIfThere(file);
  if (text !== undefined) {
    assertChecksum(file, text);
    return inFile(file, () => parseKeyFile(text));
  }
  const keys = generateKeys(random);
  await writeWhole(file, withChecksum(formatKeyFile(keys)));
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

/** The keys with which a visitor of the demo reads each advertiser's reports, by advertiser; kept as the admin's is. */
export async function loadDemoKeys(
  dataDir: string,
  advertiserIds: readonly bigint[],
  random: RandomBytes,
): Promise<ReadonlyMap<bigint, string>> {
  const file = join(dataDir, "demo-keys.json");
  const text = await readIfThere(file);
  const kept = text === undefined ? {} : inFile(file, () => ({ ...(JSON.parse(text) as object) }));
  const known = new Map(Object.entries(kept as Readonly<Record<string, string>>));
  const keys = new Map(advertiserIds.map((id) => [id, known.get(String(id)) ?? generateKey(random)]));
  const written = Object.fromEntries([...keys].map(([id, key]) => [String(id), key]));
  const wanted = `${JSON.stringify(written, null, 2)}\n`;
  if (wanted !== text) await writeWhole(file, wanted);
  return keys;
}
