/** What the program itself says of single clicks: explain, and the dead letters. */
import type { SeededRandom } from "../../actors/sim/random.ts";
import { callApi, callJson } from "../lib/ads.ts";
import type { RawFacts } from "./oracle.ts";
import type { SentClick } from "./send.ts";

const AT_ONCE = 8;
const PAGE = 1_000;

interface Explanation {
  readonly verdict: string;
  readonly counted: boolean;
  readonly rows: readonly { readonly ad_id: string; readonly window: string; readonly verdict: string }[];
}

function faultOf(sent: SentClick, told: Explanation | undefined, facts: RawFacts): string | undefined {
  const { impressionId, adId } = sent.click;
  const verdicts = facts.verdicts.get(impressionId);
  if (told === undefined || verdicts === undefined) {
    return (told === undefined) === (verdicts === undefined)
      ? undefined
      : `explain ${impressionId}: ${told === undefined ? "404" : told.verdict}, raw rows ${String(verdicts)}`;
  }
  const counted = facts.counted.get(impressionId);
  if (told.counted !== (counted !== undefined)) return `explain ${impressionId}: counted ${told.counted}`;
  if (told.rows.length !== verdicts.length) {
    return `explain ${impressionId}: ${told.rows.length} rows, ${verdicts.length} are in the raw table`;
  }
  if (told.rows.some((row) => row.ad_id !== String(adId))) return `explain ${impressionId}: another ad`;
  if (counted === undefined) return undefined;
  const counting = told.rows.filter((row) => row.verdict === "ACCEPTED");
  const window = new Date(counted.minute * 60_000).toISOString();
  return counting.length === 1 && counting[0]!.window === window
    ? undefined
    : `explain ${impressionId}: ${counting.length} rows count, in ${counting[0]?.window}; expected ${window}`;
}

/** Samples of all kinds, those that had trouble first. */
function pickSamples(all: readonly SentClick[], count: number, random: SeededRandom): SentClick[] {
  const odd = all.filter(({ click, attempts }) => click.kind !== "valid" || attempts.length > 1);
  const samples = new Set<SentClick>();
  for (let i = 0; i < count / 2 && odd.length > 0; i++) samples.add(random.pick(odd));
  while (samples.size < Math.min(count, all.length)) samples.add(random.pick(all));
  return [...samples];
}

export async function explainFaults(
  url: string,
  all: readonly SentClick[],
  facts: RawFacts,
  count: number,
  random: SeededRandom,
): Promise<{ readonly asked: number; readonly faults: readonly string[] }> {
  const samples = pickSamples(all, count, random);
  const faults: string[] = [];
  let next = 0;
  const worker = async () => {
    while (next < samples.length) {
      const sent = samples[next++]!;
      const response = await callApi(`${url}/v1/clicks/${sent.click.impressionId}`);
      const text = await response.text();
      if (response.status !== 200 && response.status !== 404) {
        faults.push(`explain ${sent.click.impressionId}: ${response.status} ${text}`);
        continue;
      }
      const told = response.status === 200 ? (JSON.parse(text) as Explanation) : undefined;
      const fault = faultOf(sent, told, facts);
      if (fault !== undefined) faults.push(fault);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { asked: samples.length, faults };
}

interface Letter {
  readonly id: string;
  readonly impression_id: string;
  readonly ad_id: string;
  readonly reason: string;
}

const REASONS = { late: "CLICK_TIME_TOO_OLD", expired: "TOKEN_EXPIRED" } as const;

/** Every late and expired click that was answered is there with its reason, and nothing else is. */
export async function deadLetterFaults(
  url: string,
  all: readonly SentClick[],
): Promise<{ readonly letters: number; readonly faults: readonly string[] }> {
  const letters: Letter[] = [];
  for (let after: string | null = ""; after !== null;) {
    const cursor: string = after === "" ? "" : `&after=${after}`;
    const page: { dead_letters: Letter[]; next: string | null } = await callJson(
      `${url}/v1/dead-letters?limit=${PAGE}${cursor}`,
    );
    letters.push(...page.dead_letters);
    after = page.next;
  }
  const faults: string[] = [];
  const byId = new Map(letters.map((letter) => [letter.impression_id, letter]));
  const expected = new Set<string>();
  for (const { click, attempts } of all) {
    if (click.kind !== "late" && click.kind !== "expired") continue;
    expected.add(click.impressionId);
    const letter = byId.get(click.impressionId);
    if (letter === undefined) {
      if (attempts.some(({ answer }) => answer !== undefined)) {
        faults.push(`${click.kind} click ${click.impressionId}: not in the dead letters`);
      }
    } else if (letter.reason !== REASONS[click.kind] || letter.ad_id !== String(click.adId)) {
      faults.push(`${click.kind} click ${click.impressionId}: dead letter says ${JSON.stringify(letter)}`);
    }
  }
  for (const { impression_id: id } of letters) {
    if (!expected.has(id)) faults.push(`dead letter of ${id}: neither late nor expired`);
  }
  return { letters: letters.length, faults };
}
