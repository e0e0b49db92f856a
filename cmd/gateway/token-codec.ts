/** The token keys of a cluster, from the file that all gateways share. */
import { AdtallyError, messageOf } from "../../actors/core/errors.ts";
import { parseKeyFile, type TokenKeys } from "../../actors/token/keys.ts";
import { createTokenCodec, type TokenCodec } from "../../actors/token/token.ts";
import { assertChecksum, readIfThere } from "../lib/checked-file.ts";

/** @throws CONFIG_INVALID */
export async function readTokenCodec(file: string): Promise<TokenCodec> {
  const keys = await readTokenKeys(file, "all gateways");
  return createTokenCodec(keys);
}

/** `whose`: of whom all must have the file. @throws CONFIG_INVALID */
export async function readTokenKeys(file: string, whose: string): Promise<TokenKeys> {
  const text = await readIfThere(file);
  if (text === undefined) {
    const what = `${file} is not there: make it once with npm run token-keys, and give it to ${whose}`;
    throw new AdtallyError("CONFIG_INVALID", what);
  }
  assertChecksum(file, text);
  try {
    return parseKeyFile(text);
  } catch (error) {
    throw new AdtallyError("CONFIG_INVALID", `${file}: ${messageOf(error)}`, { cause: error });
  }
}
