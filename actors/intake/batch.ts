/**
 * A batch of clicks through the intake and the shards: one verdict a click, in their order.
 * The gRPC server calls `take` once a batch; what it awaits is handed in.
 *
 *  B1 Everything up to the submissions happens in one turn, or in two around one load of the
 *     ads that were not in memory: nothing is submitted before the whole batch is judged, so
 *     that a batch refused for its bytes, or for the catalogue, leaves nothing behind.
 *  B2 A resolved batch is durable: every row's outcome came from its shard.
 *  B3 A batch that a shard refuses is refused as a whole. Rows that other shards took come back
 *     as DUPLICATE when the client sends the batch again.
 */
import { invariant } from "../core/errors.ts";
import { AD_MISSING, HANDED_ON, outcomeReason, outcomeVerdict } from "./intake.ts";
import { createRawClick } from "./raw-click.ts";
import { RowGather } from "./row-gather.ts";
import type { IdKey } from "../core/ids.ts";
import type { Limits } from "../core/limits.ts";
import type { AdOwner, Intake, Taking } from "./intake.ts";
import type { RawClick } from "./raw-click.ts";
import type { Part } from "./row-gather.ts";

/** The clicks of one batch, readable in any order and more than once. */
export interface BatchSource {
  readonly count: number;
  /** @throws INPUT_INVALID where the bytes of the click are malformed */
  read(index: number, into: RawClick): void;
}

export interface BatchOutcomes {
  readonly verdicts: Uint8Array;
  readonly reasons: Uint8Array;
  /** Where the last row stands in the click log; undefined when no click was handed on. */
  readonly place: { readonly shard: number; readonly offset: number } | undefined;
}

interface Pending {
  readonly verdicts: Uint8Array;
  readonly reasons: Uint8Array;
  /** Clicks whose ads are not in memory. */
  readonly missing: number[];
  readonly missingAds: Set<IdKey>;
}

interface PartResult {
  readonly offset: number | undefined;
  readonly outcomes: Uint8Array;
}

export interface BatchIntakeDeps<A extends AdOwner> {
  readonly intake: Intake<A>;
  readonly limits: Limits;
  /** Catalogue.load, with its deadline. */
  readonly load: (adIds: readonly IdKey[]) => Promise<ReadonlyMap<IdKey, A>>;
  /** ShardPort.submit. */
  readonly submit: (part: Part) => Promise<PartResult>;
}

export interface BatchIntake {
  /** @throws INPUT_INVALID, CATALOGUE_UNAVAILABLE and what ShardPort.submit throws */
  take(source: BatchSource, receivedAtMs: number, trusted: boolean): Promise<BatchOutcomes>;
}

export function createBatchIntake<A extends AdOwner>(deps: BatchIntakeDeps<A>): BatchIntake {
  const { intake, load, submit } = deps;
  const gather = new RowGather(deps.limits);
  const click = createRawClick();

  /** Judges all clicks, or those that `only` names, and returns their rows; on an error, none. */
  function judge(
    source: BatchSource,
    only: readonly number[] | undefined,
    taking: Taking<A>,
    pending: Pending,
  ): Part[] {
    const count = only === undefined ? source.count : only.length;
    try {
      for (let i = 0; i < count; i++) {
        const index = only === undefined ? i : only[i]!;
        source.read(index, click);
        const outcome = intake.take(click, taking, index);
        if (outcome === AD_MISSING) {
          pending.missing.push(index);
          pending.missingAds.add(intake.adKey());
        } else if (outcome !== HANDED_ON) {
          pending.verdicts[index] = outcomeVerdict(outcome);
          pending.reasons[index] = outcomeReason(outcome);
        }
      }
      return gather.drain();
    } catch (error) {
      gather.discard();
      throw error;
    }
  }

  return {
    async take(source, receivedAtMs, trusted) {
      const { count } = source;
      const pending: Pending = {
        verdicts: new Uint8Array(count),
        reasons: new Uint8Array(count),
        missing: [],
        missingAds: new Set(),
      };
      const taking: Taking<A> = { receivedAtMs, trusted, gather, loaded: undefined };
      const parts = judge(source, undefined, taking, pending);
      if (pending.missing.length === 0) return submitAll(parts, pending, submit);
      const loaded = await load([...pending.missingAds]);
      const late = judge(source, pending.missing, { ...taking, loaded }, pending);
      return submitAll(parts.concat(late), pending, submit);
    },
  };
}

async function submitAll(
  parts: readonly Part[],
  { verdicts, reasons }: Pending,
  submit: BatchIntakeDeps<AdOwner>["submit"],
): Promise<BatchOutcomes> {
  if (parts.length === 0) return { verdicts, reasons, place: undefined };
  const results = await Promise.all(parts.map((part) => submit(part)));
  parts.forEach((part, p) => {
    const decided = results[p]!.outcomes;
    invariant(
      decided.length === 2 * part.count,
      `shard ${part.shard} answered for other rows than it was given`,
    );
    for (let row = 0; row < part.count; row++) {
      const index = part.clicks[row]!;
      verdicts[index] = decided[2 * row]!;
      reasons[index] = decided[2 * row + 1]!;
    }
  });
  const last = parts.length - 1;
  const offset = results[last]!.offset;
  const place = offset === undefined ? undefined : { shard: parts[last]!.shard, offset };
  return { verdicts, reasons, place };
}
