/** Which shards an actor host serves now, by its own word. */
import type { ActorMember } from "../../cmd/cluster/cluster.ts";
import { sumBy } from "../../cmd/cluster/samples.ts";
import { samplesOf } from "../exactly-once-cluster/state.ts";
import { until } from "../lib/wait.ts";

const LOOK_MS = 10;

/** Resolves once it serves this many shards, whichever. */
export function untilServing(actor: ActorMember, shards: number, deadlineMs: number): Promise<boolean> {
  const look = async () => {
    const up = sumBy(await samplesOf(actor), "adtally_shard_up", "shard");
    return [...up.values()].filter((value) => value === 1).length === shards ? true : undefined;
  };
  return until(`${actor.name} serving ${shards} shards`, deadlineMs, look, LOOK_MS);
}
