/** What the target's own reports count, read through its API alone. */
import { sleep } from "../lib/wait.ts";
import type { Target } from "./target.ts";

const POLL_MS = 250;
const REQUEST_DEADLINE_MS = 10_000;
const MARGIN_MS = 60_000;

export interface Counted {
  readonly clicks: number;
  readonly duplicates: number;
}

interface Report {
  readonly total: { readonly clicks: number; readonly duplicates: number };
}

/** Valid clicks and duplicates of all these advertisers since `fromMs`. */
export async function readCounted(
  target: Pick<Target, "reportUrl" | "key">,
  advertisers: readonly bigint[],
  fromMs: number,
): Promise<Counted> {
  const span = {
    from: new Date(fromMs - MARGIN_MS).toISOString(),
    to: new Date(Date.now() + MARGIN_MS).toISOString(),
  };
  const sum = { clicks: 0, duplicates: 0 };
  for (const id of advertisers) {
    const query = new URLSearchParams({ advertiser_id: String(id), granularity: "1h", ...span });
    const response = await fetch(`${target.reportUrl}/v1/reports/clicks?${query.toString()}`, {
      headers: { authorization: `Bearer ${target.key}` },
      signal: AbortSignal.timeout(REQUEST_DEADLINE_MS),
    });
    if (!response.ok) throw new Error(`report: ${response.status} ${await response.text()}`);
    const { total } = (await response.json()) as Report;
    sum.clicks += total.clicks;
    sum.duplicates += total.duplicates;
  }
  return sum;
}

/** Waits until the reports have all of `expected`, or until they have not moved for `stillMs`. */
export async function settled(
  read: () => Promise<Counted>,
  expected: Counted,
  stillMs: number,
): Promise<Counted> {
  const isShort = (counted: Counted) =>
    counted.clicks < expected.clicks || counted.duplicates < expected.duplicates;
  let last = await read();
  let movedAt = performance.now();
  while (isShort(last) && performance.now() - movedAt < stillMs) {
    await sleep(POLL_MS);
    const now = await read();
    if (now.clicks !== last.clicks || now.duplicates !== last.duplicates) movedAt = performance.now();
    last = now;
  }
  return last;
}

export interface Told {
  readonly sent: number;
  readonly acked: number;
  readonly unanswered: number;
  /** Clicks that are the first of their link. */
  readonly firsts: number;
}

/**
 * Acked against counted: an acked click is a count or a duplicate, an unanswered one may be either
 * or nothing, and nothing else is counted.
 */
export function disagreements({ sent, acked, unanswered, firsts }: Told, counted: Counted): string[] {
  const inAll = counted.clicks + counted.duplicates;
  const found: string[] = [];
  if (inAll < acked) found.push(`${acked - inAll} acked clicks are not counted`);
  if (inAll > acked + unanswered)
    found.push(`${inAll - acked - unanswered} clicks are counted that were not acked`);
  const refused = sent - acked - unanswered;
  if (counted.clicks > firsts) found.push(`${counted.clicks - firsts} clicks are counted twice`);
  if (counted.clicks < firsts - unanswered - refused) {
    found.push(`${firsts - unanswered - refused - counted.clicks} first clicks were taken for duplicates`);
  }
  return found;
}
