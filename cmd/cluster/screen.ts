/** A cluster's status as a person reads it: one screen, or one line; pure. */
import type { MemberStatus, ShardStatus, Status } from "./status.ts";

export interface Scene {
  readonly status: Status;
  readonly upMs: number;
  /** Where each member is reached, by name. */
  readonly places: ReadonlyMap<string, string>;
  /** What stands below: how to try it. */
  readonly footer: readonly string[];
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

export function durationOf(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  if (hours > 0) return `${hours}h${two(minutes)}m`;
  return minutes > 0 ? `${minutes}m${two(seconds % 60)}s` : `${seconds}s`;
}

const whole = (value: number | undefined): string =>
  value === undefined ? "-" : Math.round(value).toLocaleString("en-US");

/** Columns as wide as their widest cell; the first and the last to the left, numbers to the right. */
function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  isText: readonly number[],
): string[] {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (isText.includes(i) ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join("  ")
      .trimEnd();
  return [head, ...rows].map((cells) => `  ${line(cells)}`);
}

const memberRow = (member: MemberStatus, place: string): string[] => [
  member.name,
  member.state,
  member.pid === undefined ? "-" : String(member.pid),
  member.pid === undefined ? "-" : durationOf(member.upMs),
  String(member.restarts),
  member.why === "" ? place : member.why,
];

const shardRow = (shard: ShardStatus): string[] => [
  String(shard.shard),
  shard.host ?? "nobody",
  whole(shard.clicksPerSecond),
  whole(shard.mailboxClicks),
  whole(shard.unflushedWindows),
  whole(shard.rawLagBlocks),
  whole(shard.spillBlocks),
];

function headline({ members, clicksPerSecond, deferred, spoolBlocks }: Status): string {
  const up = members.filter(({ state }) => state === "up").length;
  const parts = [
    `${up} of ${members.length} up`,
    `${whole(clicksPerSecond)} clicks/s`,
    `deferred to spill ${whole(deferred.spill)}, to spool ${whole(deferred.spool)} (${whole(spoolBlocks)} blocks wait)`,
  ];
  return parts.join(" · ");
}

/** Cut to the terminal: what does not fit at the bottom or to the right is left out. */
export function renderScreen({ status, upMs, places, footer }: Scene, { columns, rows }: Size): string {
  const lines = [
    `adtally cluster · ${durationOf(upMs)} · ${headline(status)}`,
    "",
    ...table(
      ["process", "state", "pid", "up", "restarts", "where"],
      status.members.map((member) => memberRow(member, places.get(member.name) ?? "")),
      [0, 1, 5],
    ),
    "",
    ...table(
      ["shard", "actor host", "clicks/s", "mailbox", "unflushed", "raw lag", "spill"],
      status.shards.map(shardRow),
      [1],
    ),
    "",
    ...footer,
  ];
  return lines
    .slice(0, Math.max(1, rows - 1))
    .map((line) => line.slice(0, columns))
    .join("\n");
}

/** For a log: the sums, and who is not up. */
export function renderLine({ status, upMs }: Pick<Scene, "status" | "upMs">): string {
  const sum = (of: (shard: ShardStatus) => number | undefined): string => {
    const values = status.shards.map(of);
    return values.includes(undefined) ? "?" : whole(values.reduce((a: number, b) => a + (b ?? 0), 0));
  };
  const lag = [
    `mailbox ${sum((shard) => shard.mailboxClicks)}`,
    `unflushed ${sum((shard) => shard.unflushedWindows)}`,
    `raw lag ${sum((shard) => shard.rawLagBlocks)}`,
    `spill ${sum((shard) => shard.spillBlocks)}`,
  ].join(", ");
  const others = status.members
    .filter(({ state }) => state !== "up")
    .map(({ name, state, why }) => `${name} ${state}${why === "" ? "" : ` (${why})`}`);
  return [`${durationOf(upMs)} · ${headline(status)} · ${lag}`, ...others].join(" · ");
}
