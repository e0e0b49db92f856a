/**
 * A shared document that is had from two places: the truth (a folder, such as a mounted ConfigMap),
 * and a fast copy of it (Redis). The kubelet brings a ConfigMap's change a minute late, Redis may
 * lose what it had: so whichever has the newer text is believed.
 *
 *  T1 Of two texts the one of the higher version holds; of equal ones the truth's. A text that has no
 *     version (it is damaged) loses to any other.
 *  T2 One place that cannot be read is as good as one that has nothing, as long as the other can be.
 *  T3 What a watcher is told never has a lower version than what it was told before.
 *  T4 What is published is so when the truth has it; the copy follows where it can.
 */
import { decodeAssignment } from "../../actors/assignment/assignment.ts";
import { messageOf } from "../../actors/core/errors.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { SharedState } from "../../actors/ports/shared-state.ts";
import { decodeTable } from "../../actors/routing/table-json.ts";
import type { Logger } from "../../actors/runtime/log.ts";

/** @throws anything, where the text is not one of its kind */
export type VersionOf = (text: string) => number;

export const assignmentVersion: VersionOf = (text) => decodeAssignment(text).version;

/** A newer table has a generation that takes force later; one that only lost old ones is no older. */
export const routingVersion =
  (limits: Pick<Limits, "maxShards">): VersionOf =>
  (text) =>
    decodeTable(text, 0, limits).newestFirst[0]?.inForceFromMs ?? -1;

export interface NewerStateDeps {
  readonly truth: SharedState;
  readonly copy: SharedState;
  readonly versionOf: VersionOf;
  readonly logger: Logger;
}

const NOTHING = -Infinity;
const DAMAGED = -Number.MAX_VALUE;

export function createNewerState({ truth, copy, versionOf, logger }: NewerStateDeps): SharedState {
  const rank = (text: string | undefined): number => {
    if (text === undefined) return NOTHING;
    try {
      return versionOf(text);
    } catch {
      return DAMAGED;
    }
  };
  /** T1 */
  const newer = (ofTruth: string | undefined, ofCopy: string | undefined): string | undefined =>
    rank(ofCopy) > rank(ofTruth) ? ofCopy : ofTruth;

  const toCopy = (text: string): void => {
    copy.publish(text).catch((error: unknown) => {
      logger.warn({ error: messageOf(error) }, "the fast copy of a shared document is not up to date");
    });
  };

  return {
    async read() {
      const [ofTruth, ofCopy] = await Promise.allSettled([truth.read(), copy.read()]);
      if (ofTruth.status === "fulfilled")
        return newer(ofTruth.value, ofCopy.status === "fulfilled" ? ofCopy.value : undefined);
      if (ofCopy.status === "fulfilled" && ofCopy.value !== undefined) return ofCopy.value;
      throw ofTruth.reason;
    },
    async publish(text) {
      await truth.publish(text);
      toCopy(text);
    },
    async replace(current, text) {
      const [ofTruth, ofCopy] = await Promise.all([truth.read(), copy.read().catch(() => undefined)]);
      // What the copy alone has may be built upon: the truth is brought up to it.
      if (newer(ofTruth, ofCopy) !== current || !(await truth.replace(ofTruth, text))) return false;
      toCopy(text);
      return true;
    },
    watch(onText) {
      let told = NOTHING;
      let last: string | undefined;
      const take = (text: string): void => {
        const version = rank(text);
        if (version < told || text === last) return; // T3
        told = version;
        last = text;
        onText(text);
      };
      const watches = [truth.watch(take), copy.watch(take)];
      return {
        close: () => {
          for (const watch of watches) watch.close();
        },
      };
    },
  };
}
