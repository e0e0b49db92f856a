/**
 * `adtally tokens`: the keys that sign impressions' tokens, in the file that all gateways share.
 *
 * Gateways read the file when they start, and not all at once. A key must be known to all before any
 * signs with it, and stay until its last token has expired. So a rotation has three steps, each
 * followed by a restart of every gateway: the key comes, the key signs, the old one goes.
 *
 *  K1 No step leaves a token refused that was signed before it, nor one that any gateway signs after it.
 */
import { stat } from "node:fs/promises";
import type { Command } from "commander";
import { isAdtallyError } from "../../../actors/core/errors.ts";
import { DEFAULT_LIMITS } from "../../../actors/core/limits.ts";
import { systemRandom, type RandomBytes } from "../../../actors/runtime/clock.ts";
import {
  addKey,
  formatKeyFile,
  parseKeyFile,
  retireKey,
  rotateKeys,
  signWith,
  type TokenKeys,
} from "../../../actors/token/keys.ts";
import { assertChecksum, readIfThere, withChecksum, writeWhole } from "../../lib/checked-file.ts";
import { countOf, runs, textOf, type Context, type Options, type Run } from "../command.ts";
import { EXIT, Failure, usage } from "../failure.ts";

const USUAL_FILE = ".adtally/token-keys.json";
const DAY_S = 86_400;

export interface Step {
  readonly keys: TokenKeys;
  readonly did: string;
  readonly next: string;
}

/** The next step of a rotation: a key that is newer than the signing one is one that came and does not sign yet. */
export function nextStep(keys: TokenKeys, random: RandomBytes, atOnce: boolean): Step {
  const { signingKeyId: before } = keys;
  const retire = `once its last token has expired: adtally tokens retire ${before}`;
  if (atOnce) {
    const rotated = rotateKeys(keys, random);
    return {
      keys: rotated,
      did: `key ${rotated.signingKeyId} is there and signs`,
      next: `restart the gateway; then, ${retire}`,
    };
  }
  const pending = (before + 1) % 256;
  if (keys.keys.has(pending))
    return {
      keys: signWith(keys, pending),
      did: `key ${pending} signs, key ${before} verifies`,
      next: `restart every gateway; then, ${retire}`,
    };
  return {
    keys: addKey(keys, pending, random),
    did: `key ${pending} is there, key ${before} signs as before`,
    next: "restart every gateway, so that all know it; then adtally tokens rotate again, and it signs",
  };
}

export function addTokens(program: Command): void {
  const tokens = program
    .command("tokens")
    .description("the keys that sign impressions, in the gateways' file");
  const withFile = (command: Command) =>
    command.option("--token-keys-file <path>", `the file of all gateways (default: ${USUAL_FILE})`);
  runs(withFile(tokens.command("show").description("which keys there are, and which one signs")), show);
  runs(
    withFile(
      tokens
        .command("rotate")
        .description(
          "the next step to a new signing key: first it comes, then, all gateways restarted, it signs",
        )
        .option("--at-once", "both at once: for npm start, which is the only gateway"),
    ),
    rotate,
  );
  runs(
    withFile(
      tokens
        .command("retire")
        .description("drop a key that signs no more, once its last token has expired")
        .argument("<key-id>")
        .option(
          "--token-life-seconds <s>",
          "how long tokens live",
          String(DEFAULT_LIMITS.tokenLifeMs / 1_000),
        )
        .option(
          "--now",
          "whatever tokens of it are still out: they are refused from the gateways' restart on",
        ),
    ),
    retire,
  );
}

async function readKeys(options: Options): Promise<{ readonly file: string; readonly keys: TokenKeys }> {
  const file = textOf(options, "tokenKeysFile") ?? process.env["ADTALLY_TOKEN_KEYS_FILE"] ?? USUAL_FILE;
  try {
    const text = await readIfThere(file);
    if (text === undefined)
      throw new Failure(EXIT.missing, "NOT_FOUND", `${file} is not there`, {
        remedy: "--token-keys-file names it; npm run token-keys makes one for a new cluster",
      });
    assertChecksum(file, text);
    return { file, keys: parseKeyFile(text) };
  } catch (error) {
    if (!isAdtallyError(error)) throw error;
    throw new Failure(EXIT.failed, error.code, error.message, { where: file, cause: error });
  }
}

const idsOf = ({ keys }: TokenKeys): readonly number[] => [...keys.keys()].sort((a, b) => a - b);
const shownKeys = (file: string, keys: TokenKeys) => ({
  file,
  signing_key_id: keys.signingKeyId,
  key_ids: idsOf(keys),
});

const show: Run = async ({ output }, options) => {
  const { file, keys } = await readKeys(options);
  if (output.isJson) output.json(shownKeys(file, keys));
  else
    output.table(
      [{ name: "key", align: "right" }, { name: "does" }],
      idsOf(keys).map((id) => [String(id), id === keys.signingKeyId ? "signs" : "verifies"]),
    );
};

async function write({ output }: Context, file: string, { did, keys, next }: Step): Promise<void> {
  await writeWhole(file, withChecksum(formatKeyFile(keys)));
  if (output.isJson) output.json({ ...shownKeys(file, keys), did, next });
  else output.say(`${file}: ${did}`, `next: ${next}`);
}

const rotate: Run = async (context, options) => {
  const { file, keys } = await readKeys(options);
  await write(context, file, nextStep(keys, systemRandom, options["atOnce"] === true));
};

const retire: Run = async (context, options, [text = ""]) => {
  const lifeMs = countOf(options, "tokenLifeSeconds", 1, DAY_S) * 1_000;
  const { file, keys } = await readKeys(options);
  const id = /^\d{1,3}$/.test(text) ? Number(text) : -1;
  if (!keys.keys.has(id)) throw usage(`${file} has no key "${text}": it has ${idsOf(keys).join(", ")}`);
  if (id === keys.signingKeyId)
    throw new Failure(EXIT.failed, "KEY_SIGNS", `key ${id} signs`, {
      where: file,
      remedy: "adtally tokens rotate first brings another",
    });
  // Whatever was changed last, the key signed nothing after it; and gateways may have restarted late.
  const { mtimeMs } = await stat(file);
  const untilMs = mtimeMs + lifeMs;
  if (options["now"] !== true && context.clock.now() < untilMs)
    throw new Failure(EXIT.failed, "TOKENS_OUT", `tokens of key ${id} may be out still`, {
      where: file,
      remedy: `wait until ${new Date(untilMs).toISOString()}, a token's life after the file was changed last, and as much longer as gateways were restarted later; or --now`,
    });
  await write(context, file, {
    keys: retireKey(keys, id),
    did: `key ${id} is gone`,
    next: "restart every gateway: they know it until then",
  });
};
