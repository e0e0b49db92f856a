/**
 * Says whether what ClickHouse holds is what the clients were told. Three accounts are held
 * against each other: the clients' own record of sends and answers; the counts, which the actors
 * made; and the raw rows, which came straight from the log.
 *
 *  O1 An impression that a client was told is counted has exactly one counting raw row, in a
 *     minute in which it was clicked; one that was never sent, or is not valid, has none.
 *  O2 Per ad, minute and shard, the counts equal the raw rows, each impression counted once.
 *  O3 Per ad, minute and over all minutes, the counts lie between the clicks that must count
 *     and those that may, as the clients' record alone has it (no raw rows asked).
 *  O4 No impression is told ACCEPTED twice; a forged click is told so, and leaves no row.
 *  O5 Late and expired clicks are told so, where they are not deferred, and do not count.
 */
import { minuteOf } from "../../actors/core/time.ts";
import { Verdict, verdictName } from "../../actors/core/verdict.ts";
import type { CountRow, RawRow } from "../lib/tables.ts";
import { saysCounted, type Answer, type Attempt, type SentClick } from "./send.ts";

/** A gateway may have taken an unanswered click a little after its client gave up. */
const UNANSWERED_GRACE_MS = 20_000;

export interface RawFacts {
  /** Impressions with a counting row: where and when it counted. */
  readonly counted: ReadonlyMap<string, { readonly adId: string; readonly minute: number }>;
  /** Every verdict in the log, by impression. */
  readonly verdicts: ReadonlyMap<string, readonly string[]>;
  /** Clicks and duplicates by `cellOf`. */
  readonly cells: ReadonlyMap<string, { clicks: number; duplicates: number }>;
}

const cellOf = (adId: string, minute: number, shard: number) =>
  `ad ${adId}, minute ${minute}, shard ${shard}`;

/** `isRepeat`: rows that the log holds twice because of a fault, and that therefore count no second time. */
export function factsOf(raw: readonly RawRow[], isRepeat: (row: RawRow) => boolean = () => false): RawFacts {
  const counted = new Map<string, { adId: string; minute: number }>();
  const verdicts = new Map<string, string[]>();
  const cells = new Map<string, { clicks: number; duplicates: number }>();
  for (const row of raw) {
    const id = row.impression_id;
    const known = verdicts.get(id);
    if (known === undefined) verdicts.set(id, [row.verdict]);
    else known.push(row.verdict);
    if ((row.verdict !== "ACCEPTED" && row.verdict !== "DUPLICATE") || isRepeat(row)) continue;
    const minute = minuteOf(Number(row.click_ms));
    const name = cellOf(row.ad_id, minute, row.shard);
    const cell = cells.get(name) ?? { clicks: 0, duplicates: 0 };
    cells.set(name, cell);
    if (row.verdict === "ACCEPTED" && !counted.has(id)) {
      counted.set(id, { adId: row.ad_id, minute });
      cell.clicks += 1;
    } else cell.duplicates += 1;
  }
  return { counted, verdicts, cells };
}

/** The minutes in which an attempt may have been counted. */
function minutesOf({ clickedAtMs, sentMs, endedMs, answer }: Attempt): number[] {
  if (clickedAtMs !== undefined) return [minuteOf(clickedAtMs)];
  const lastMs = answer === undefined ? endedMs + UNANSWERED_GRACE_MS : endedMs;
  const minutes: number[] = [];
  for (let minute = minuteOf(sentMs); minute <= minuteOf(lastMs); minute++) minutes.push(minute);
  return minutes;
}

const possibleMinutes = ({ attempts }: SentClick): Set<number> => new Set(attempts.flatMap(minutesOf));

export const mustCount = ({ click, attempts }: SentClick): boolean =>
  click.kind === "valid" && attempts.some(({ answer }) => saysCounted(answer));

const told = (answer: Answer): string => (typeof answer === "number" ? verdictName(answer) : answer);

/** What each kind of click may be told, over HTTP and gRPC; only a cluster defers. */
const TOLD: Readonly<Record<SentClick["click"]["kind"], ReadonlySet<Answer>>> = {
  valid: new Set(["redirected", Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.DEFERRED]),
  forged: new Set(["damaged", Verdict.BAD_SIGNATURE]),
  expired: new Set(["redirected", Verdict.EXPIRED, Verdict.DEFERRED]),
  late: new Set([Verdict.LATE, Verdict.DEFERRED]),
};

/** O1, O4, O5. */
function* faultsOfClick(sent: SentClick, facts: RawFacts): Generator<string> {
  const { click, attempts } = sent;
  const name = `${click.kind} click ${click.impressionId} of ad ${click.adId}`;
  let accepted = 0;
  for (const { answer, way } of attempts) {
    if (answer === undefined) continue;
    if (!TOLD[click.kind].has(answer)) yield `${name}: told ${told(answer)} over ${way}`;
    if (answer === Verdict.ACCEPTED) accepted += 1;
  }
  if (accepted > 1) yield `${name}: told ACCEPTED ${accepted} times`;

  const counted = facts.counted.get(click.impressionId);
  if (counted === undefined) {
    if (mustCount(sent)) yield `${name}: told that it counts, but no raw row counts it`;
  } else if (click.kind !== "valid") yield `${name}: counted`;
  else {
    if (counted.adId !== String(click.adId)) yield `${name}: counted for ad ${counted.adId}`;
    const minutes = possibleMinutes(sent);
    if (!minutes.has(counted.minute)) {
      yield `${name}: counted in minute ${counted.minute}, clicked in ${[...minutes].join(", ")}`;
    }
  }
  if (click.kind === "forged" && facts.verdicts.has(click.impressionId)) yield `${name}: left a raw row`;
}

/** O2. */
function* faultsOfCells(counts: readonly CountRow[], facts: RawFacts): Generator<string> {
  const left = new Map(facts.cells);
  for (const { adId, minute, shard, clicks, invalid, duplicates } of counts) {
    const name = cellOf(adId, minute, shard);
    const raw = left.get(name) ?? { clicks: 0, duplicates: 0 };
    left.delete(name);
    if (clicks !== raw.clicks || duplicates !== raw.duplicates || invalid !== 0) {
      yield (
        `${name}: counts say ${clicks} clicks, ${duplicates} duplicates, ${invalid} invalid; ` +
        `raw rows ${raw.clicks}, ${raw.duplicates}, 0`
      );
    }
  }
  for (const [name, { clicks, duplicates }] of left) {
    yield `${name}: no count row; raw rows ${clicks} clicks, ${duplicates} duplicates`;
  }
}

interface Bounds {
  least: number;
  most: number;
}

/** O3. */
function* faultsOfBounds(counts: readonly CountRow[], all: readonly SentClick[]): Generator<string> {
  const bounds = new Map<string, Bounds>();
  const add = (name: string, least: number) => {
    const known = bounds.get(name) ?? { least: 0, most: 0 };
    known.least += least;
    known.most += 1;
    bounds.set(name, known);
  };
  for (const sent of all) {
    if (sent.click.kind !== "valid" || sent.attempts.length === 0) continue;
    const minutes = possibleMinutes(sent);
    const surely = mustCount(sent) ? 1 : 0;
    add(`ad ${sent.click.adId}`, surely);
    for (const minute of minutes) {
      add(`ad ${sent.click.adId}, minute ${minute}`, minutes.size === 1 ? surely : 0);
    }
  }
  const totals = new Map<string, number>();
  for (const { adId, minute, clicks } of counts) {
    for (const name of [`ad ${adId}`, `ad ${adId}, minute ${minute}`]) {
      totals.set(name, (totals.get(name) ?? 0) + clicks);
    }
  }
  for (const name of new Set([...bounds.keys(), ...totals.keys()])) {
    const { least, most } = bounds.get(name) ?? { least: 0, most: 0 };
    const total = totals.get(name) ?? 0;
    if (total < least || total > most) yield `${name}: ${total} clicks; clients know of ${least} to ${most}`;
  }
}

/** Everything that differs; empty when all is well. */
export function differences(
  all: readonly SentClick[],
  counts: readonly CountRow[],
  facts: RawFacts,
): readonly string[] {
  const found: string[] = [];
  const sentIds = new Set<string>();
  for (const sent of all) {
    sentIds.add(sent.click.impressionId);
    found.push(...faultsOfClick(sent, facts));
  }
  for (const id of facts.counted.keys()) if (!sentIds.has(id)) found.push(`click ${id}: counted, never sent`);
  found.push(...faultsOfCells(counts, facts), ...faultsOfBounds(counts, all));
  return found;
}

/** Two reads of the counts, row for row. */
export function tableDifferences(before: readonly CountRow[], after: readonly CountRow[]): readonly string[] {
  const text = (row: CountRow) =>
    `${row.clicks} clicks, ${row.invalid} invalid, ${row.duplicates} duplicates`;
  const left = new Map(before.map((row) => [cellOf(row.adId, row.minute, row.shard), text(row)]));
  const found: string[] = [];
  for (const row of after) {
    const name = cellOf(row.adId, row.minute, row.shard);
    const was = left.get(name);
    left.delete(name);
    if (was !== text(row)) found.push(`${name}: ${was ?? "no row"} before the replay, ${text(row)} after`);
  }
  for (const [name, was] of left) found.push(`${name}: ${was} before the replay, no row after`);
  return found;
}
