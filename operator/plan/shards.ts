/**
 * Which actor host owns which shard: the next assignment, if there is to be another.
 *
 *  M1 Every shard that must be assigned has an owner in every assignment that is published, from the
 *     first one on; one whose owner is gone is given to another together with the loss being known.
 *  M2 As few shards move as make the loads of the targets differ by one at the most.
 *  M3 No more than movesAtOnce shards are on their way between living hosts at a time; those of hosts
 *     that are gone, and new ones, wait for nobody.
 *  M4 A shard is on its way until its new owner has said that it serves it: a host that says nothing
 *     holds further moves up.
 *  M5 A host that is not a shard's owner and holds it by an epoch as new as the owner's is outdone: the
 *     owner gets the new version as its epoch, so that the other lets go.
 */
import {
  assign,
  NO_ASSIGNMENT,
  type Assignment,
  type ShardOwner,
} from "../../actors/assignment/assignment.ts";
import { isSameAssignment, markUnrouted, shardsToKeep } from "../../actors/assignment/keep.ts";
import type { Action } from "./actions.ts";
import type { Parts } from "./rollout.ts";
import { heldOf, versionAnew, type View } from "./view.ts";
import { UNKNOWN } from "./world.ts";

export function planAssignment(view: View, parts: Parts | undefined): readonly Action[] {
  const { assignment, limits, lost, newest, nowMs, observed, routing } = view;
  if (parts === undefined || assignment === UNKNOWN || routing === UNKNOWN || routing === undefined)
    return [];
  if (newest === undefined || parts.targets.size === 0) return [];
  const current = assignment ?? { ...NO_ASSIGNMENT, version: versionAnew(nowMs) };
  const next = nextAssignment(view, current, parts, shardsToKeep(current, routing, nowMs, limits));
  const marked = markUnrouted(next, routing, nowMs, limits);
  if (!lost.includes("assignment") && isSameAssignment(current, marked)) return [];
  const moved = [...marked.shards].filter(([shard, { host }]) => current.shards.get(shard)?.host !== host);
  const what = moved.map(([shard, { host }]) => {
    const from = current.shards.get(shard)?.host;
    return `${shard} ${from === undefined ? "" : `from ${from} `}to ${host}`;
  });
  const message = `assignment ${marked.version}: ${what.length === 0 ? "no shard moves" : `shard ${what.join(", ")}`}`;
  return [
    {
      kind: "publish-assignment",
      assignment: marked,
      after: observed.assignment === UNKNOWN ? 0 : (observed.assignment?.version ?? 0),
      because: { reason: moved.length === 0 ? "AssignmentPublished" : "ShardsMoved", message },
    },
  ];
}

function nextAssignment(
  view: View,
  current: Assignment,
  { targets, keepers }: Parts,
  shards: readonly number[],
): Assignment {
  const { hosts } = view.observed;
  const isUp = (host: string): boolean => hosts !== UNKNOWN && hosts.get(host)?.isUp === true;
  const kept = shards.filter((shard) => keepers.has(current.shards.get(shard)?.host ?? ""));
  const free = shards.filter((shard) => !keepers.has(current.shards.get(shard)?.host ?? ""));
  const ideal = assign(current, targets, free);
  const { version } = ideal;
  // M2: hosts that are about to come are waited for; each one by itself would set shards moving again.
  let budget = keepers.size > 0 ? 0 : view.spec.actors.movesAtOnce - heldOf(view, current).open.length;
  const owners = new Map<number, ShardOwner>();
  for (const shard of kept) owners.set(shard, current.shards.get(shard)!);
  for (const [shard, owner] of ideal.shards) {
    const before = current.shards.get(shard);
    const isChosen = before !== undefined && before.host !== owner.host && isUp(before.host);
    if (isChosen && budget <= 0) owners.set(shard, before);
    else {
      if (isChosen) budget -= 1;
      owners.set(shard, owner);
    }
  }
  for (const [host, { held }] of view.observed.reports) {
    for (const [shard, epoch] of held) {
      const owner = owners.get(shard);
      if (owner !== undefined && owner.host !== host && epoch >= owner.epoch) {
        owners.set(shard, { ...owner, epoch: version });
      }
    }
  }
  const addresses = new Map(targets);
  for (const { host } of owners.values()) {
    const address = (hosts === UNKNOWN ? undefined : hosts.get(host)?.address) ?? current.hosts.get(host);
    if (!addresses.has(host) && address !== undefined) addresses.set(host, address);
  }
  return { version, hosts: addresses, shards: new Map([...owners].sort(([a], [b]) => a - b)) };
}
