/** `npm run assign -- --help`: publishes the assignment and the routing table, and ends. */
import { openProgramCertificates } from "../lib/certificates.ts";
import { openSharedStates } from "../lib/connections.ts";
import { runProgram, type Program } from "../lib/program.ts";
import { assignSpec, type AssignConfig } from "./config.ts";
import { publishWanted } from "./publish.ts";

async function publish(program: Program<AssignConfig>): Promise<void> {
  const { clock, config, limits } = program;
  const certificates = await openProgramCertificates(program);
  const { assignment, routing } = openSharedStates(program, certificates.redis);
  const plan = await publishWanted({ assignment, routing, clock, limits }, config);
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  if (plan.routing !== undefined) {
    const { inForceFromMs, number, shardCount, splits } = plan.routing.newestFirst[0]!;
    const since =
      inForceFromMs === 0 ? "from the beginning" : `from ${new Date(inForceFromMs).toISOString()}`;
    say(`routing generation ${number}: ${shardCount} shards, in force ${since}`);
    for (const [ad, ways] of splits) say(`  ad ${ad}: split over ${ways} shards`);
  }
  if (plan.assignment !== undefined) {
    const { hosts, shards, version } = plan.assignment;
    say(`assignment ${version}: ${shards.size} shards on ${hosts.size} hosts`);
    for (const host of hosts.keys()) {
      const own = [...shards].filter(([, owner]) => owner.host === host).map(([shard]) => shard);
      say(`  ${host}: ${own.join(" ")}`);
    }
  }
  if (plan.routing === undefined && plan.assignment === undefined) say("as it was: nothing to publish");
}

await runProgram(assignSpec, async (program) => {
  await publish(program);
  return undefined;
});
