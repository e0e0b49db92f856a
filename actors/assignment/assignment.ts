/**
 * Which actor host owns which shard. Published whole, with a version that only rises (by a file,
 * a Redis key, later the operator); gateways route by it, hosts acquire and release by it.
 *
 * A shard's epoch is the version by which it came to its owner. Counting never depends on it: it
 * tells hosts, gateways and people which of two claims is newer ("The log is the truth" in ARCHITECTURE.md).
 *
 *  V1 A table of a lower version than one already seen is never taken up.
 *  V2 A shard's epoch never falls, and rises where its owner changes, also when the shard was
 *     assigned to nobody in between: it is no higher than the version of any table that has it.
 *  V3 A host never obeys a claim that is older than the one by which it holds a shard.
 */
import { AdtallyError, messageOf } from "../core/errors.ts";

export interface ShardOwner {
  readonly host: string;
  readonly epoch: number;
  /** Since when no live generation routes to the shard, by its publisher's clock; it may be given up (keep.ts). */
  readonly unroutedSinceMs?: number;
}

export interface Assignment {
  readonly version: number;
  /** Where each host's ShardService is reached: "10.0.0.7:7070". */
  readonly hosts: ReadonlyMap<string, string>;
  readonly shards: ReadonlyMap<number, ShardOwner>;
}

export const NO_ASSIGNMENT: Assignment = { version: 0, hosts: new Map(), shards: new Map() };

/** What a host does next about one shard. */
export type Move =
  /** Take it on; where it is held, only its epoch rises. */
  | { readonly kind: "acquire"; readonly epoch: number }
  /** Serve it until its next owner does, then let it go. */
  | { readonly kind: "hand-over"; readonly to: string; readonly epoch: number }
  /** Let it go: nobody is to have it. */
  | { readonly kind: "release" };

/**
 * What `host` has to do about `shard` to be as assigned; undefined: nothing. `held`: the epoch by
 * which it holds the shard, undefined where it does not. An older assignment asks for nothing (V3).
 */
export function moveOf(
  host: string,
  shard: number,
  held: number | undefined,
  { shards, version }: Assignment,
): Move | undefined {
  const owner = shards.get(shard);
  const isNewer = (owner?.epoch ?? version) > (held ?? -1);
  if (owner?.host === host) return isNewer ? { kind: "acquire", epoch: owner.epoch } : undefined;
  if (held === undefined) return undefined;
  if (owner === undefined) return version >= held ? { kind: "release" } : undefined;
  return isNewer ? { kind: "hand-over", to: owner.host, epoch: owner.epoch } : undefined;
}

/**
 * The next assignment: shards of hosts that are gone, and new shards, go to the hosts that have
 * the fewest; the others stay where they are, but for what evens the load out (at most one
 * shard of difference). Deterministic: equal input, equal result.
 */
export function assign(
  current: Assignment,
  hosts: ReadonlyMap<string, string>,
  shards: readonly number[],
): Assignment {
  if (hosts.size === 0) throw new AdtallyError("INPUT_INVALID", "no actor host to assign shards to");
  const load = new Map([...hosts.keys()].sort().map((host): [string, number[]] => [host, []]));
  const homeless: number[] = [];
  for (const shard of [...shards].sort((a, b) => a - b)) {
    const kept = load.get(current.shards.get(shard)?.host ?? "");
    if (kept === undefined) homeless.push(shard);
    else kept.push(shard);
  }
  const byLoad = () => [...load.entries()].sort(([, a], [, b]) => a.length - b.length);
  for (const shard of homeless) byLoad()[0]![1].push(shard);
  for (;;) {
    const sorted = byLoad();
    const [least, most] = [sorted[0]![1], sorted.at(-1)![1]];
    if (most.length - least.length <= 1) break;
    least.push(most.pop()!);
  }
  const next = new Map<number, ShardOwner>();
  const version = current.version + 1;
  for (const [host, own] of load) {
    for (const shard of own) {
      const before = current.shards.get(shard);
      next.set(shard, before?.host === host ? before : { ...before, host, epoch: version });
    }
  }
  return { version, hosts, shards: new Map([...next].sort(([a], [b]) => a - b)) };
}

/** {"version":3,"hosts":{"actor-0":"127.0.0.1:7070"},"shards":{"0":{"host":"actor-0","epoch":1}}} */
export function encodeAssignment({ version, hosts, shards }: Assignment): string {
  return JSON.stringify({ version, hosts: Object.fromEntries(hosts), shards: Object.fromEntries(shards) });
}

/** @throws INPUT_INVALID, naming what is wrong and where */
export function decodeAssignment(text: string): Assignment {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(`it is not JSON: ${messageOf(error)}`);
  }
  const { version, hosts, shards } = objectAt(value, "the whole");
  if (!isCount(version))
    throw invalid(`version must be a whole number from 0, and is ${JSON.stringify(version)}`);
  const addresses = new Map<string, string>();
  for (const [host, address] of Object.entries(objectAt(hosts, "hosts"))) {
    if (typeof address !== "string" || !/^[^\s:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/.test(address)) {
      throw invalid(`hosts.${host} must be an address such as 10.0.0.7:7070`);
    }
    addresses.set(host, address);
  }
  const owners = new Map<number, ShardOwner>();
  for (const [shard, owner] of Object.entries(objectAt(shards, "shards"))) {
    const { host, epoch, unroutedSinceMs } = objectAt(owner, `shards.${shard}`);
    if (!/^(0|[1-9]\d{0,4})$/.test(shard)) throw invalid(`shards.${shard}: a shard is a number`);
    if (typeof host !== "string" || !addresses.has(host))
      throw invalid(`shards.${shard}.host is not one of hosts`);
    if (!isCount(epoch) || epoch > version)
      throw invalid(`shards.${shard}.epoch must be a whole number from 0 to the version, ${version}`);
    if (unroutedSinceMs !== undefined && !isCount(unroutedSinceMs))
      throw invalid(`shards.${shard}.unroutedSinceMs must be a time in milliseconds`);
    owners.set(Number(shard), { host, epoch, ...(unroutedSinceMs !== undefined && { unroutedSinceMs }) });
  }
  return { version, hosts: addresses, shards: owners };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function objectAt(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw invalid(`${where} must be an object`);
}

function invalid(what: string): AdtallyError {
  return new AdtallyError("INPUT_INVALID", `assignment: ${what}`);
}
