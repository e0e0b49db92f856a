/** `node cmd/chart-hooks/main.ts --help`: what charts/adtally has done in the cluster before it installs and uninstalls. */
import { KubeConfig } from "@kubernetes/client-node";
import { Command, InvalidArgumentError, Option } from "commander";
import { isAdtallyError } from "../../actors/core/errors.ts";
import { systemClock, systemRandom } from "../../actors/runtime/clock.ts";
import { createKubeClient, type KubeClient } from "../../operator/kube/client.ts";
import { PROGRAM_VERSION } from "../lib/program.ts";
import { forgetLease } from "./lease.ts";
import { adminKey, deleteSecret, makeSecret, password, tokenKeys, type Wanted } from "./secrets.ts";
import { deleteCluster, deleteLeftBehind } from "./uninstall.ts";

const REQUEST_MS = 10_000;
const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

function dnsName(text: string): string {
  if (!DNS_NAME.test(text))
    throw new InvalidArgumentError("a name of lowercase letters, digits, dashes and dots.");
  return text;
}

function secretKey(text: string): Omit<Wanted, "content"> {
  const [name = "", key = "", ...rest] = text.split("/");
  if (!/^[-._a-zA-Z0-9]+$/.test(key) || rest.length > 0) throw new InvalidArgumentError("SECRET/KEY.");
  return { name: dnsName(name), key };
}

function seconds(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("a whole number of seconds.");
  return Number(text);
}

interface Common {
  readonly namespace: string;
  readonly release: string;
  readonly kubeconfig?: string;
}
interface MakeKeys extends Common {
  readonly tokenKeys?: Omit<Wanted, "content">;
  readonly adminKey?: Omit<Wanted, "content">;
  readonly password?: Omit<Wanted, "content">;
}
interface Uninstall extends Common {
  readonly clickCluster?: string;
  readonly deleteState?: boolean;
  readonly secret: readonly string[];
  readonly deadlineSeconds: number;
}

interface ForgetLease extends Common {
  readonly lease: string;
  readonly deadlineSeconds: number;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function withClient(
  { kubeconfig }: Common,
  work: (client: KubeClient) => Promise<void>,
): Promise<void> {
  const config = new KubeConfig();
  if (kubeconfig === undefined) config.loadFromCluster();
  else config.loadFromFile(kubeconfig);
  const userAgent = `adtally-chart-hooks/${PROGRAM_VERSION}`;
  const client = createKubeClient({ config, deadlineMs: REQUEST_MS, userAgent, clock: systemClock });
  try {
    await work(client);
  } catch (error) {
    if (!isAdtallyError(error)) throw error;
    process.stderr.write(`chart-hooks: ${error.code}: ${error.message}\n`);
    process.exitCode = 1;
  } finally {
    await client.close();
  }
}

const command = new Command("chart-hooks").description(
  "What charts/adtally has done in the cluster before it installs and uninstalls.",
);

const withCommon = (name: string, about: string): Command =>
  command
    .command(name)
    .description(about)
    .requiredOption("--namespace <name>", "the release's namespace", dnsName)
    .requiredOption("--release <name>", "the release, which what is made is made for", dnsName)
    .option("--kubeconfig <path>", "how to reach the API server; unset: the pod's own service account")
    .allowExcessArguments(false);

withCommon("make-keys", "Makes Secrets of keys, where there are none; those that are there are only checked.")
  .option("--token-keys <secret/key>", "of the keys that sign tokens", secretKey)
  .option("--admin-key <secret/key>", "of the API key that may do everything", secretKey)
  .option("--password <secret/key>", "of the bundled ClickHouse's password", secretKey)
  .action((flags: MakeKeys) =>
    withClient(flags, async (client) => {
      const contents = [
        [flags.tokenKeys, tokenKeys],
        [flags.adminKey, adminKey],
        [flags.password, password],
      ] as const;
      for (const [at, content] of contents)
        if (at !== undefined) say(await makeSecret({ client, ...flags }, { ...at, content }, systemRandom));
    }),
  );

withCommon(
  "uninstall",
  "Deletes the ClickCluster and waits until it has drained, then its volumes, and the Secrets that were made for the release.",
)
  .option("--click-cluster <name>", "the ClickCluster", dnsName)
  .option("--delete-state", "its routing table and assignment too: where its topics and Redis go as well")
  .addOption(
    new Option("--secret <name>", "a Secret that make-keys may have made; may be given many times")
      .argParser((name, before: readonly string[]) => [...before, dnsName(name)])
      .default([]),
  )
  .option("--deadline-seconds <count>", "how long the ClickCluster may take", seconds, 900)
  .action((flags: Uninstall) =>
    withClient(flags, async (client) => {
      const { namespace, clickCluster: name, deadlineSeconds } = flags;
      const deadlineMs = deadlineSeconds * 1_000;
      if (name !== undefined) {
        const uid = await deleteCluster({
          client,
          clock: systemClock,
          namespace,
          name,
          deadlineMs,
          report: say,
        });
        const { deleteState = false } = flags;
        for (const line of await deleteLeftBehind({ client, namespace, name, uid, deleteState })) say(line);
      }
      for (const secret of flags.secret) say(await deleteSecret({ client, ...flags }, secret));
    }),
  );

withCommon("forget-lease", "Deletes the operator's Lease once nobody holds it; after an uninstall.")
  .requiredOption("--lease <name>", "the Lease", dnsName)
  .option("--deadline-seconds <count>", "how long it is waited for", seconds, 60)
  .action((flags: ForgetLease) =>
    withClient(flags, async (client) => {
      const { namespace, lease: name, deadlineSeconds } = flags;
      say(
        await forgetLease({
          client,
          clock: systemClock,
          namespace,
          name,
          deadlineMs: deadlineSeconds * 1_000,
        }),
      );
    }),
  );

await command.parseAsync();
