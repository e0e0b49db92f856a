/**
 * Browsers click while actor hosts, the broker, or both are away. Each valid click must be
 * redirected at its first attempt, p99 in time, and none may be lost afterwards.
 */
import { seededRandom } from "../../actors/sim/random.ts";
import type { Member } from "../../cmd/cluster/member.ts";
import { sendAll, type SentClick } from "../exactly-once/send.ts";
import { percentile } from "../lib/report.ts";
import type { Invariant } from "./invariants.ts";
import type { RunOptions } from "./run.ts";
import type { Scene } from "./scene.ts";

const REDIRECT_P99_MS = 100;

export async function runDown({ cluster, plan }: Scene, options: RunOptions) {
  const { actors, broker } = cluster;
  const absences: readonly (readonly [string, readonly Member[]])[] = [
    ["nothing", []],
    ["the actor hosts", actors],
    ["the broker", [broker]],
    ["actor hosts and broker", [broker, ...actors]],
  ];
  const all: SentClick[] = [];
  const faults: string[] = [];
  const figures: Record<string, number> = {};
  for (const [i, [what, members]] of absences.entries()) {
    const size = Math.floor(plan.length / absences.length);
    const part = plan.slice(i * size, i === absences.length - 1 ? undefined : (i + 1) * size);
    await Promise.all(members.map((member) => member.kill()));
    const sent = await sendAll(cluster.gateways, part, options.offered, seededRandom(options.seed + i)).done;
    if (members.some(({ isRunning }) => isRunning)) throw new Error(`${what}: a process came back`);
    const beganAt = performance.now();
    await Promise.all(members.map((member) => member.start("alive")));
    await Promise.all(members.map((member) => member.start()));
    all.push(...sent);

    const clicks = sent
      .filter(({ click }) => click.kind === "valid")
      .flatMap(({ attempts }) => attempts.filter(({ way }) => way === "http"));
    const refused = clicks.filter(({ answer }) => answer !== "redirected").length;
    const millis = Float64Array.from(clicks, ({ endedMs, sentMs }) => endedMs - sentMs).sort();
    const p99 = percentile(millis, 0.99);
    const title = members.length === 0 ? "all up" : `${what} down`;
    figures[`${title}: redirects`] = clicks.length - refused;
    figures[`${title}: p50 ms`] = percentile(millis, 0.5);
    figures[`${title}: p99 ms`] = p99;
    figures[`${title}: longest ms`] = percentile(millis, 1);
    options.say(
      `  ${title}: ${clicks.length - refused} of ${clicks.length} redirected, p99 ${p99} ms, longest ${percentile(millis, 1)} ms; back after ${Math.round(performance.now() - beganAt)} ms`,
    );
    if (refused > 0) faults.push(`${title}: ${refused} of ${clicks.length} attempts were not redirected`);
    if (p99 >= REDIRECT_P99_MS)
      faults.push(`${title}: redirect p99 ${p99} ms, ${REDIRECT_P99_MS} are allowed`);
  }
  const checked = `each valid click over HTTP redirected at its first attempt, p99 below ${REDIRECT_P99_MS} ms`;
  const invariants: readonly Invariant[] = [{ name: "redirects", checked, faults }];
  return { all, figures, invariants };
}
