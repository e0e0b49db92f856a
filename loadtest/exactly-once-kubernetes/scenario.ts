/**
 * The proof, in order. Clicks come from the moment at which the first one was counted until the end:
 *
 *   install ─► first click ─► one ad gets 60 % ─────────── split in force ─► it cools ─────── merged ─► end
 *                             scaled up; pods killed and                     scaled down; API server
 *                             deleted, all upgraded, the                     and node away
 *                             operator away
 *
 * A generation takes force minutes after it is published; what stands below happens meanwhile.
 */
import type { SeededRandom } from "../../actors/sim/random.ts";
import { sleep, until } from "../lib/wait.ts";
import * as changes from "./changes.ts";
import { createHotAd, type HotAd, type Load, type Split } from "./hot-ad.ts";
import { FIRST_TAG, NEXT_TAG, type Installation } from "./install.ts";
import type { Component, Kube } from "./kube.ts";
import { createScreens, type Screens } from "./screens.ts";
import type { Stage } from "./stage.ts";
import { createSteps, type Step } from "./steps.ts";
import type { Traffic } from "./traffic.ts";

export const STEPS = [
  "scale-up",
  "kill",
  "delete",
  "split",
  "upgrade",
  "scale-down",
  "api-away",
  "node-cut",
  "merge",
  "operator-away",
] as const;
export type StepName = (typeof STEPS)[number];

export interface ScenarioOptions {
  readonly steps: readonly StepName[];
  /** Of which a pod is deleted. */
  readonly deleted: readonly Component[];
  readonly hotPerSecond: number;
  readonly calmPerSecond: number;
  readonly operatorAwayMs: number;
  readonly apiAwayMs: number;
  readonly nodeAwayMs: number;
  readonly mergeAfterSeconds: number;
  /** Clicks of impressions shown before a change come for so long after it. */
  readonly lateMostMs: number;
  /** How long the load of each shard is measured. */
  readonly measureMs: number;
  readonly random: SeededRandom;
  readonly say: (line: string) => void;
}

export interface Played {
  readonly steps: readonly Step[];
  readonly screens: Screens;
  readonly split: Split | undefined;
  readonly before: Load | undefined;
  readonly after: Load | undefined;
  readonly mergedMs: number | undefined;
}

export interface Cast {
  readonly stage: Stage;
  readonly kube: Kube;
  readonly installation: Installation;
  readonly traffic: Traffic;
  readonly hotAdId: bigint;
}

const HOT_SHARE = 0.6;
const MOST_HOSTS = 3;

export async function play(cast: Cast, options: ScenarioOptions): Promise<Played> {
  const { stage, kube, installation, traffic } = cast;
  const { random, say } = options;
  const steps = createSteps(say);
  const acting: changes.Acting = { kube, node: stage.node, random };
  const wants = (step: StepName) => options.steps.includes(step);
  const screens = createScreens(kube.kubectl);
  const hotAd = createHotAd(stage.clickhouse, kube, cast.hotAdId);
  const wanted = (tag: string) => ({
    tag,
    endpoints: stage.endpoints,
    mergeAfterSeconds: options.mergeAfterSeconds,
  });

  async function disturb(): Promise<void> {
    if (wants("scale-up"))
      await steps.run(`kubectl scale: 1 → ${MOST_HOSTS} actor hosts`, true, () =>
        changes.scale(acting, MOST_HOSTS),
      );
    if (wants("kill"))
      await steps.run("SIGKILL an actor host", true, async () => {
        const proof = await changes.killContainer(acting, "actors");
        await kube.untilServing(SERVED_MS);
        return proof;
      });
    for (const component of wants("delete") ? shuffled(options.deleted, random) : []) {
      await steps.run(`kubectl delete pod: one of ${component}`, true, () =>
        changes.deletePod(acting, component),
      );
    }
    if (wants("upgrade"))
      await steps.run("helm upgrade: another image for every component", true, () =>
        changes.upgrade(acting, installation, wanted(NEXT_TAG), () =>
          changes.killOperatorInMidRollout(acting),
        ),
      );
    if (wants("operator-away"))
      await steps.run("the operator is away", true, () =>
        changes.operatorAway(acting, options.operatorAwayMs),
      );
  }

  traffic.set({ perSecond: options.hotPerSecond, hotShare: HOT_SHARE });
  const hotAtMs = Date.now();
  say(`from now on one ad gets ${HOT_SHARE * 100} % of ${options.hotPerSecond} clicks a second`);
  // What comes is then done to a cluster that is about to split an ad.
  const made = wants("split") ? await hotAd.untilMade(hotAtMs) : undefined;
  const splitting = made === undefined ? Promise.resolve(undefined) : hotAd.untilSplit(hotAtMs, made);
  const [split] = await Promise.all([splitting, disturb()]);
  const loads = split === undefined ? undefined : await measured(hotAd, hotAtMs, split, options);
  if (split !== undefined) say(`split over ${split.ways} shards, traffic there after ${split.clicksMs} ms`);
  await screens.take("while the hot ad is split");

  traffic.set({ perSecond: options.calmPerSecond, hotShare: 0 });
  const coldAtMs = Date.now();
  say(`from now on ${options.calmPerSecond} clicks a second, no ad is hot`);
  const merging = wants("merge") ? hotAd.untilMerged(coldAtMs) : Promise.resolve(undefined);
  async function disturbAgain(): Promise<void> {
    if (wants("scale-down"))
      await steps.run(`kubectl scale: ${MOST_HOSTS} → 1 actor host, one killed in mid-move`, true, () =>
        changes.scale(acting, 1, (order) => changes.killInMidMove(acting, order)),
      );
    if (wants("api-away"))
      await steps.run("the API server is away", true, () => changes.apiServerAway(acting, options.apiAwayMs));
    if (wants("node-cut"))
      await steps.run("power cut of the node", false, () => changes.cutPower(acting, options.nodeAwayMs));
  }
  const [mergedMs] = await Promise.all([merging, disturbAgain()]);
  if (mergedMs !== undefined) say(`merged, and on one shard, ${Math.round(mergedMs)} ms after it cooled`);

  await screens.take("at the end");
  return { steps: steps.done, screens, split, before: loads?.before, after: loads?.after, mergedMs };
}

const SERVED_MS = 150_000;

/** helm install to Ready, and the first click from the Service to the query API. */
export async function install(
  { stage, kube, installation }: Pick<Cast, "stage" | "kube" | "installation">,
  mergeAfterSeconds: number,
): Promise<{ readonly readyMs: number }> {
  const startedAt = performance.now();
  await installation.install({ tag: FIRST_TAG, endpoints: stage.endpoints, mergeAfterSeconds });
  await until("the ClickCluster", SERVED_MS, () => kube.status());
  await kube.untilServing(SERVED_MS);
  return { readyMs: performance.now() - startedAt };
}

/** Loads per shard: while it was hot and whole, and once late clicks of that time are over. */
async function measured(hotAd: HotAd, hotAtMs: number, split: Split, options: ScenarioOptions) {
  const { lateMostMs, measureMs } = options;
  const inForceMs = hotAtMs + split.clicksMs;
  const settledMs = inForceMs + lateMostMs;
  await sleep(Math.max(0, settledMs + measureMs - Date.now()));
  const wholeUntilMs = Math.min(inForceMs, hotAtMs + lateMostMs + measureMs);
  return {
    before: await hotAd.load(Math.max(hotAtMs, wholeUntilMs - measureMs), wholeUntilMs),
    after: await hotAd.load(settledMs, settledMs + measureMs),
  };
}

function shuffled<T>(items: readonly T[], random: SeededRandom): readonly T[] {
  const left = [...items];
  return Array.from(items, () => left.splice(random.below(left.length), 1)[0]!);
}
