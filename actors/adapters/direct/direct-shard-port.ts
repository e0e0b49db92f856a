/**
 * ShardPort within one process: the shards are here, and a submission is a function call.
 * A submission to a shard that is not here is refused with NOT_OWNER.
 */
import { AdtallyError } from "../../core/errors.ts";
import { withDeadline } from "../../runtime/deadline.ts";
import type { Limits } from "../../core/limits.ts";
import type { ShardPort } from "../../ports/shard-port.ts";
import type { Clock } from "../../runtime/clock.ts";

export interface DirectShardPortDeps {
  /** May change while the program runs, as shards come and go. */
  readonly shards: ReadonlyMap<number, ShardPort>;
  readonly clock: Clock;
  readonly limits: Pick<Limits, "submitDeadlineMs">;
}

export function createDirectShardPort({ shards, clock, limits }: DirectShardPortDeps): ShardPort {
  return {
    submit(submission) {
      const shard = shards.get(submission.shard);
      if (shard === undefined) {
        return Promise.reject(
          new AdtallyError("NOT_OWNER", `shard ${submission.shard} is not in this process`),
        );
      }
      const what = `shard ${submission.shard}`;
      return withDeadline(clock, limits.submitDeadlineMs, what, shard.submit(submission));
    },
  };
}
