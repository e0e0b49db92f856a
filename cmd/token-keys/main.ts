/** `npm run token-keys -- --token-keys-file FILE`: makes the keys that sign tokens, where none are. */
import { generateKeys, formatKeyFile, parseKeyFile } from "../../actors/token/keys.ts";
import { systemRandom } from "../../actors/runtime/clock.ts";
import { programSettings, gatewaySettings } from "../config/settings.ts";
import { assertChecksum, readIfThere, withChecksum, writeWhole } from "../lib/checked-file.ts";
import { runProgram } from "../lib/program.ts";

const { hostName, logLevel, drainNoticeMs } = programSettings;

await runProgram(
  {
    name: "token-keys",
    description:
      "Makes the file of keys that sign tokens, for all gateways of a cluster; one that is there is only checked.",
    settings: { tokenKeysFile: gatewaySettings.tokenKeysFile, hostName, logLevel, drainNoticeMs },
  },
  async ({ config: { tokenKeysFile: file } }) => {
    const text = await readIfThere(file);
    if (text === undefined) await writeWhole(file, withChecksum(formatKeyFile(generateKeys(systemRandom))));
    else {
      assertChecksum(file, text);
      parseKeyFile(text);
    }
    process.stdout.write(`${file}: ${text === undefined ? "made" : "is there, and good"}\n`);
    return undefined;
  },
);
