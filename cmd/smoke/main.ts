/** `node cmd/smoke/main.ts --help`: one click through a running adtally; `helm test` is this. */
import { readFileSync } from "node:fs";
import { Command, InvalidArgumentError } from "commander";
import { systemClock, systemRandom } from "../../actors/runtime/clock.ts";
import { smoke, SmokeFailed } from "./smoke.ts";

function url(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new InvalidArgumentError("an http or https URL.");
  return text.replace(/\/$/, "");
}

function seconds(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError("a whole number of seconds.");
  return Number(text);
}

const flags = new Command("smoke")
  .description(
    "Puts an ad, shows it, clicks it twice, and waits until the report says one click and one duplicate. " +
      "Exits 0 if it does. The ad stays in the catalogue, under an id of the upper half.",
  )
  .requiredOption("--gateway-url <url>", "a gateway", url)
  .requiredOption("--query-url <url>", "a query service", url)
  .requiredOption("--admin-key-file <path>", "file of an API key of scope admin")
  .option("--deadline-seconds <count>", "how long all of it may take", seconds, 60)
  .allowExcessArguments(false)
  .parse()
  .opts<{ gatewayUrl: string; queryUrl: string; adminKeyFile: string; deadlineSeconds: number }>();

try {
  await smoke({
    gatewayUrl: flags.gatewayUrl,
    queryUrl: flags.queryUrl,
    adminKey: readFileSync(flags.adminKeyFile, "utf8").trim(),
    deadlineMs: flags.deadlineSeconds * 1_000,
    clock: systemClock,
    random: systemRandom,
    report: (line) => console.log(line),
  });
} catch (error) {
  if (!(error instanceof SmokeFailed)) throw error;
  console.error(`smoke: ${error.message}`);
  process.exitCode = 1;
}
