/**
 * ShardPort over many actor hosts: one client per host of the newest assignment, each submission
 * to its shard's owner, again and elsewhere until an answer comes or `submitDeadlineMs` is over.
 *
 *   submit ──► owner ──answer──► resolved
 *      ▲         │ NOT_OWNER, ABORTED (unreachable, stream broke)
 *      │         ▼
 *      │       former owner, while the owner gets ready ──answer──► resolved
 *      │         │ the same, or no answer in time: it is asked no more
 *      │         ▼
 *      └── back-off, or the shard's next owner, whichever comes first; `refresh` is asked
 *
 *  N1 A lower (or equal) version than the newest one is ignored (V1 of assignment.ts).
 *  N2 Any submission may be sent more than once (P4 of shard-port.ts); the first answer that comes is passed on.
 *     When a shard moves, its former owner has `shardMoveGraceMs` to answer what it was given
 *     before the new one is asked too: a move in good order makes no duplicates. Until the new
 *     one has answered, the former one is asked for what the new one refuses (it gets ready),
 *     unless it refused too or was silent for that grace, but no longer than `shardHandOverMs`.
 *  N3 "Nothing was taken" (P3 of shard-port.ts) is said only where no attempt was left open; else it is ABORTED.
 *  N4 At most `mailboxMaxClicks` clicks are held for one host, waiting ones included: OVERLOADED
 *     past it, at once. OVERLOADED and SHARD_HALTED of a host are passed on at once too.
 *  N5 A host that is gone from the assignment is asked as a former owner at the most; then its
 *     client closes, once what is in flight there has been answered or is too late.
 */
import { AdtallyError, isAdtallyError, messageOf } from "../../core/errors.ts";
import { NO_ASSIGNMENT } from "../../assignment/assignment.ts";
import type { Assignment } from "../../assignment/assignment.ts";
import type { Limits } from "../../core/limits.ts";
import type { ShardPort, Submission, SubmissionResult } from "../../ports/shard-port.ts";
import type { Clock, RandomBytes, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { ShardClient } from "./shard-client.ts";

/** Why a submission was sent once more. */
export const RETRY_REASONS = ["no_owner", "not_owner", "unreachable", "moved"] as const;
export type RetryReason = (typeof RETRY_REASONS)[number];

export interface ShardRouterDeps {
  /** A client of the host at this address; it belongs to the router. */
  readonly connect: (address: string) => ShardClient;
  /** Asks for the newest assignment, which comes by `setAssignment`, soon or never. */
  readonly refresh: () => void;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: Logger;
  readonly onRetry?: (why: RetryReason) => void;
}

export interface HostState {
  readonly host: string;
  readonly address: string;
  readonly isReachable: boolean;
  /** ShardClient.clockLeadMs */
  readonly clockLeadMs: number | undefined;
  /** Clicks held for it, waiting ones included. */
  readonly clicks: number;
}

export interface ShardRouter extends ShardPort {
  /** False where the table is not newer than the one in use (N1). */
  setAssignment(assignment: Assignment): boolean;
  readonly assignment: Assignment;
  /** Hosts of the assignment, in its order. */
  hosts(): readonly HostState[];
  /** Whether the stream to the shard's owner is open now. */
  isReachable(shard: number): boolean;
  /** Takes no more, and resolves once all that it holds has been answered or is too late. */
  drain(): Promise<void>;
  close(): void;
}

interface Link {
  readonly host: string;
  readonly address: string;
  readonly client: ShardClient;
  clicks: number;
}

interface Owner {
  readonly link: Link;
  readonly epoch: number;
  /** Who had the shard before, while `link` has not answered for it yet. */
  former: Link | undefined;
}

/** A submission that was taken and is not answered yet. */
interface Held {
  readonly submission: Submission;
  readonly deadlineAtMs: number;
  /** The owner when it was last sent. */
  owner: Owner | undefined;
  /** Some attempt may have been taken though nobody said so. */
  isOpen: boolean;
  isDone: boolean;
  /** Called when the shard's owner changes, and when it is done. */
  onChange: () => void;
  resolve(result: SubmissionResult): void;
  reject(error: AdtallyError): void;
}

/** "again": no answer yet, and there is another host to ask at once. */
type Attempt = "done" | "again" | AdtallyError;

const NOTHING_TAKEN = new Set(["NOT_OWNER", "OVERLOADED", "SHARD_HALTED"]);
/** What an owner says, or its connection, before it serves a shard. */
const GETTING_READY = new Set(["NOT_OWNER", "ABORTED"]);

export function createShardRouter(deps: ShardRouterDeps): ShardRouter {
  const { connect, limits, clock, random, logger } = deps;
  const links = new Map<string, Link>();
  /** Shard to owner, of the newest assignment. */
  let owners = new Map<number, Owner>();
  let assignment = NO_ASSIGNMENT;
  const held = new Set<Held>();
  let clicksOfNobody = 0;
  let refreshedAtMs = -Infinity;
  let isClosed = false;
  let whenEmpty: (() => void) | undefined;
  /** Ends the time in which former owners are asked. */
  let handingOver: Timer | undefined;

  function refresh(): void {
    const now = clock.monotonic();
    if (now - refreshedAtMs < limits.assignmentRefreshMinMs) return;
    refreshedAtMs = now;
    deps.refresh();
  }

  function charge(owner: Owner | undefined, clicks: number): void {
    if (owner === undefined) clicksOfNobody += clicks;
    else owner.link.clicks += clicks;
  }

  function settle(item: Held): void {
    item.isDone = true;
    held.delete(item);
    charge(item.owner, -item.submission.count);
    item.onChange();
    if (held.size === 0) whenEmpty?.();
  }

  function fail(item: Held, error: AdtallyError): void {
    if (item.isDone) return;
    settle(item);
    if (!item.isOpen || !NOTHING_TAKEN.has(error.code)) return item.reject(error);
    const hint = error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs };
    const message = `an earlier attempt may have been taken; the last one: ${error.message}`;
    item.reject(new AdtallyError("ABORTED", message, { ...hint, cause: error }));
  }

  /** Sends it to the owner of now, or, while that one gets ready, to the former one. */
  async function attempt(item: Held): Promise<Attempt> {
    const { submission } = item;
    const owner = owners.get(submission.shard);
    charge(item.owner, -submission.count);
    charge(owner, submission.count);
    item.owner = owner;
    if (owner === undefined) {
      const detail = `assignment ${assignment.version} names no host for shard ${submission.shard}`;
      return new AdtallyError("NOT_OWNER", detail);
    }
    if (owner.former === undefined || owner.link.client.isReachable) {
      const outcome = await ask(item, owner.link);
      const isRefused = isAdtallyError(outcome) && GETTING_READY.has(outcome.code);
      if (!isRefused || owner.former === undefined || owners.get(submission.shard) !== owner) return outcome;
      if (outcome.code === "ABORTED") item.isOpen = true;
    }
    const { former } = owner;
    const outcome = await ask(item, former, limits.shardMoveGraceMs);
    if (!isAdtallyError(outcome) || outcome.code === "OVERLOADED") return outcome;
    if (outcome.code === "ABORTED" || outcome.code === "DEADLINE_EXCEEDED") item.isOpen = true;
    leave(former, submission.shard);
    return "again";
  }

  /** One host's answer; "again" where the shard has left that host and its grace is over. */
  function ask(item: Held, link: Link, withinMs = Infinity): Promise<Attempt> {
    const { submission } = item;
    const hasLeft = () => owners.get(submission.shard)?.link !== link;
    let isOver = false;
    return new Promise((resolve) => {
      item.onChange = () => {
        if (item.isDone) resolve("done");
        else if (hasLeft())
          clock.after(limits.shardMoveGraceMs, () => {
            if (isOver || item.isDone || !hasLeft()) return;
            // Silent: nobody else need wait for it.
            leave(link, submission.shard);
            item.isOpen = true;
            resolve("again");
          });
      };
      const remainingMs = Math.max(1, item.deadlineAtMs - clock.monotonic());
      link.client.submit(submission, Math.min(withinMs, remainingMs)).then(
        (result) => {
          const owner = owners.get(submission.shard);
          if (owner?.link === link && owner.former !== undefined) leave(owner.former, submission.shard);
          if (!item.isDone) {
            settle(item);
            item.resolve(result);
          }
          resolve("done");
        },
        (error: unknown) => {
          isOver = true;
          resolve(isAdtallyError(error) ? error : aborted(error));
        },
      );
    });
  }

  /** The former owner of this shard is asked no more. */
  function leave(former: Link, shard: number): void {
    const owner = owners.get(shard);
    if (owner?.former !== former) return;
    owner.former = undefined;
    closeUnused([former]);
  }

  function closeUnused(some: Iterable<Link>): void {
    const used = new Set([...owners.values()].map(({ former }) => former));
    for (const link of some) {
      if (links.get(link.host) === link || used.has(link)) continue;
      link.client.closeWhenIdle();
    }
  }

  /** Waits, but no longer than until the shard has another owner or the submission is done. */
  function pause(item: Held, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.after(waitMs, resolve);
      item.onChange = () => {
        timer.cancel();
        resolve();
      };
      // It may have changed since the attempt was made.
      if (item.isDone || isChanged(item)) item.onChange();
    });
  }

  function isChanged({ submission, owner }: Held): boolean {
    const now = owners.get(submission.shard);
    return now?.link !== owner?.link || now?.epoch !== owner?.epoch;
  }

  async function carry(item: Held): Promise<void> {
    for (let failures = 0; ;) {
      const outcome = await attempt(item);
      if (item.isDone || outcome === "done") return;
      if (outcome === "again") {
        deps.onRetry?.("moved");
        if (item.deadlineAtMs - clock.monotonic() <= 0) return fail(item, tooLate(item));
        continue;
      }
      const { code } = outcome;
      if (code === "ABORTED" || code === "DEADLINE_EXCEEDED") item.isOpen = true;
      if (code === "DEADLINE_EXCEEDED") refresh();
      if (code !== "NOT_OWNER" && code !== "ABORTED") return fail(item, outcome);
      failures += 1;
      refresh();
      const remainingMs = item.deadlineAtMs - clock.monotonic();
      const waitMs = outcome.retryAfterMs ?? backOffMs(failures);
      // No attempt without the time for an answer: it would only leave open what is known now.
      const isLast = remainingMs < 2 * waitMs;
      if (remainingMs > 0) await pause(item, isLast ? remainingMs : waitMs);
      if (item.isDone) return;
      if (isLast && !isChanged(item))
        return fail(item, code === "NOT_OWNER" ? outcome : tooLate(item, outcome));
      deps.onRetry?.(
        item.owner === undefined ? "no_owner" : code === "NOT_OWNER" ? "not_owner" : "unreachable",
      );
    }
  }

  /** Between half and all of a wait that doubles: many submissions fail at one instant. */
  function backOffMs(failures: number): number {
    const longest = Math.min(limits.reconnectMaxMs, limits.reconnectMinMs * 2 ** (failures - 1));
    return longest * (0.5 + random(1)[0]! / 512);
  }

  function tooLate({ submission }: Held, last?: AdtallyError): AdtallyError {
    const why = last === undefined ? "" : `; the last attempt: ${last.message}`;
    const detail = `shard ${submission.shard} did not answer within ${limits.submitDeadlineMs} ms${why}`;
    return new AdtallyError("DEADLINE_EXCEEDED", detail, { cause: last });
  }

  function closeAll(): void {
    handingOver?.cancel();
    for (const { client } of links.values()) client.close();
    for (const { former } of owners.values()) former?.client.close();
  }

  return {
    submit(submission) {
      if (isClosed) return Promise.reject(new AdtallyError("ABORTED", "this gateway is stopping"));
      const owner = owners.get(submission.shard);
      const clicks = owner?.link.clicks ?? clicksOfNobody;
      if (clicks + submission.count > limits.mailboxMaxClicks) {
        const detail = `${clicks} clicks are held for ${owner?.link.host ?? "shards without a host"}`;
        const hint = { retryAfterMs: limits.overloadRetryAfterMs };
        return Promise.reject(new AdtallyError("OVERLOADED", detail, hint));
      }
      return new Promise((resolve, reject) => {
        const deadlineAtMs = clock.monotonic() + limits.submitDeadlineMs;
        const state = { owner, isOpen: false, isDone: false, onChange: () => undefined };
        const item: Held = { submission, deadlineAtMs, ...state, resolve, reject };
        charge(owner, submission.count);
        held.add(item);
        carry(item).catch((error: unknown) => fail(item, aborted(error)));
      });
    },

    setAssignment(next) {
      if (isClosed || next.version <= assignment.version) {
        if (next.version < assignment.version) {
          logger.warn({ version: next.version, inUse: assignment.version }, "an older assignment is ignored");
        }
        return false;
      }
      for (const [host, address] of next.hosts) {
        const link = links.get(host);
        if (link?.address === address) continue;
        links.set(host, { host, address, client: connect(address), clicks: 0 });
      }
      for (const host of links.keys()) if (!next.hosts.has(host)) links.delete(host);
      const before = owners;
      owners = new Map();
      for (const [shard, { host, epoch }] of next.shards) {
        const link = links.get(host);
        if (link !== undefined) owners.set(shard, { link, epoch, former: formerOf(before.get(shard), link) });
      }
      closeUnused([...before.values()].flatMap(({ former, link }) => (former ? [former, link] : [link])));
      handingOver?.cancel();
      handingOver = clock.after(limits.shardHandOverMs, () => {
        for (const [shard, { former }] of owners) if (former !== undefined) leave(former, shard);
      });
      assignment = next;
      logger.info({ version: next.version, hosts: links.size, shards: owners.size }, "assignment taken up");
      for (const item of [...held]) if (isChanged(item)) item.onChange();
      return true;
    },

    get assignment() {
      return assignment;
    },

    hosts() {
      return [...links.values()].map(({ host, address, client, clicks }) => {
        const { isReachable, clockLeadMs } = client;
        return { host, address, isReachable, clockLeadMs, clicks };
      });
    },

    isReachable(shard) {
      const owner = owners.get(shard);
      return owner?.link.client.isReachable === true || owner?.former?.client.isReachable === true;
    },

    async drain() {
      isClosed = true;
      if (held.size > 0) await new Promise<void>((resolve) => (whenEmpty = resolve));
      closeAll();
    },

    close() {
      isClosed = true;
      for (const item of [...held]) {
        item.isOpen = true;
        fail(item, new AdtallyError("ABORTED", "this gateway is stopping"));
      }
      closeAll();
    },
  };
}

/** Who is asked while `next` gets ready; where the one before never got so, whom it was to follow. */
function formerOf(before: Owner | undefined, next: Link): Link | undefined {
  if (before === undefined) return undefined;
  // A host at another address is that host, started anew: of its former life nothing is left.
  const former = before.link.host === next.host ? before.former : (before.former ?? before.link);
  return former?.host === next.host ? undefined : former;
}

function aborted(error: unknown): AdtallyError {
  return new AdtallyError("ABORTED", messageOf(error), { cause: error });
}
