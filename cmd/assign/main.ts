/** `npm run assign -- --help`: publishes the assignment and the routing table, and ends. */
import { decodeAssignment, encodeAssignment } from "../../actors/assignment/assignment.ts";
import { decodeTable, encodeTable } from "../../actors/routing/table-json.ts";
import { openSharedStates } from "../lib/connections.ts";
import { runProgram, type Program } from "../lib/program.ts";
import { assignSpec, type AssignConfig } from "./config.ts";
import { planPublication } from "./plan.ts";

/** The routing table first: an assignment of shards that no generation has does no harm, nor does the reverse. */
async function publish(program: Program<AssignConfig>): Promise<void> {
  const { clock, config, limits } = program;
  const { assignment, routing } = openSharedStates(program);
  const [table, current] = await Promise.all([routing.read(), assignment.read()]);
  const nowMs = clock.now();
  const published = {
    routing: table === undefined ? undefined : decodeTable(table, nowMs, limits),
    assignment: current === undefined ? undefined : decodeAssignment(current),
  };
  const plan = planPublication(published, config, nowMs, limits);
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  if (plan.routing !== undefined) {
    await routing.publish(encodeTable(plan.routing));
    const { inForceFromMs, number, shardCount } = plan.routing.newestFirst[0]!;
    const since =
      inForceFromMs === 0 ? "from the beginning" : `from ${new Date(inForceFromMs).toISOString()}`;
    say(`routing generation ${number}: ${shardCount} shards, in force ${since}`);
  }
  if (plan.assignment !== undefined) {
    await assignment.publish(encodeAssignment(plan.assignment));
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
