/** What must hold of a run on Kubernetes beside the account of its clicks. */
import type { Invariant } from "../exactly-once-cluster/invariants.ts";
import type { SentClick } from "../exactly-once/send.ts";
import { seenDuring, type Step } from "./steps.ts";

/** No valid click over HTTP missed its redirect at its first attempt, but while there was no node. */
export function redirectsKept(steps: readonly Step[], all: readonly SentClick[]): Invariant {
  const away = steps.filter(({ keepsRedirects }) => !keepsRedirects);
  const excused = (atMs: number) => away.some(({ fromMs, untilMs }) => atMs >= fromMs && atMs < untilMs);
  let [redirects, failed] = [0, 0];
  const faults: string[] = [];
  for (const { click, attempts } of all) {
    if (click.kind !== "valid") continue;
    for (const { way, answer, sentMs, endedMs } of attempts) {
      if (way !== "http" || excused(sentMs) || excused(endedMs)) continue;
      redirects += 1;
      if (answer === "redirected") continue;
      failed += 1;
      const during = steps.find(({ fromMs, untilMs }) => endedMs >= fromMs && sentMs < untilMs);
      faults.push(
        `a click of ${new Date(sentMs).toISOString()} was not redirected: ${during?.what ?? "between two steps"}`,
      );
    }
  }
  const except = away.length === 0 ? "" : `, but during ${away.map(({ what }) => what).join(", ")}`;
  const checked = `${redirects - failed} of ${redirects} valid clicks over HTTP redirected at their first attempt${except}`;
  return { name: "redirects", checked, faults };
}

/** I5: each step had clicks under way, and clicks that came before it and again after. */
export function stepsStraddled(steps: readonly Step[], all: readonly SentClick[]): Invariant {
  const faults = steps.flatMap((step) => {
    const { clicks, straddling } = seenDuring(step, steps, all);
    if (clicks === 0) return [`${step.what}: no click came meanwhile`];
    return straddling === 0 ? [`${step.what}: no click was repeated across it`] : [];
  });
  return {
    name: "I5",
    checked: `${steps.length} steps, each with its proof, with clicks meanwhile and repeats across it`,
    faults,
  };
}

export function leftNothing(left: readonly string[]): Invariant {
  return {
    name: "uninstall",
    checked: "after helm uninstall no object of any kind is there that was not there before the install",
    faults: left,
  };
}
