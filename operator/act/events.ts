/**
 * Events of a ClickCluster (events.k8s.io/v1): what was done, and why.
 *
 *  V1 Telling never holds up what is done, and fails alone.
 *  V2 What is told again within some minutes is counted on the event that stands (`series`).
 *  V3 A ClickCluster gets no more than a burst of them, and then one every few seconds: what is beyond
 *     is counted, and not told. Changes of the whole cluster in a loop must not fill etcd.
 */
import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { isAdtallyError, messageOf } from "../../actors/core/errors.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";
import type { ClickCluster } from "../api/click-cluster.ts";
import { GROUP, VERSION } from "../api/meta.ts";
import type { KubeClient } from "../kube/client.ts";
import { events, pathOf } from "../kube/resources.ts";
import type { Because } from "../plan/actions.ts";

export interface EventSink {
  /** `doing`: what was done, in a word for programs. */
  emit(cluster: ClickCluster, type: "Normal" | "Warning", doing: string, because: Because): void;
  /** Resolves when what was told is on its way no more. */
  settled(): Promise<void>;
}

export interface EventSinkDeps {
  readonly client: KubeClient;
  /** Of this process. */
  readonly instance: string;
  readonly clock: Clock;
  readonly logger: Logger;
  onEvent?(what: "told" | "counted" | "dropped" | "failed"): void;
}

const CONTROLLER = `${GROUP}/operator`;
const NOTE_MAX = 1_024;
/** As client-go's: a series ends when nothing was added for six minutes. */
const SERIES_MS = 6 * 60_000;
const SERIES_MAX = 4_096;
const CLUSTERS_MAX = 1_024;
const BURST = 50;
const REFILL_MS = 3_000;
const WAITING_MAX = 256;

interface Series {
  readonly name: string;
  count: number;
}

interface Bucket {
  left: number;
  atMs: number;
}

export function createEventSink(deps: EventSinkDeps): EventSink {
  const { client, instance, clock, logger, onEvent } = deps;
  const perf = { now: () => clock.monotonic() };
  const series = new LRUCache<string, Series>({ max: SERIES_MAX, ttl: SERIES_MS, perf });
  const buckets = new LRUCache<string, Bucket>({ max: CLUSTERS_MAX });
  let waiting = 0;
  let telling: Promise<void> = Promise.resolve();

  /** V3 */
  function mayTell(uid: string): boolean {
    const nowMs = clock.monotonic();
    const bucket = buckets.get(uid) ?? { left: BURST, atMs: nowMs };
    buckets.set(uid, bucket);
    bucket.left = Math.min(BURST, bucket.left + (nowMs - bucket.atMs) / REFILL_MS);
    bucket.atMs = nowMs;
    if (bucket.left < 1 || waiting >= WAITING_MAX) return false;
    bucket.left -= 1;
    return true;
  }

  async function tell(
    { metadata }: ClickCluster,
    type: "Normal" | "Warning",
    action: string,
    { reason, message }: Because,
  ): Promise<void> {
    const { namespace } = metadata;
    const key = JSON.stringify([metadata.uid, type, reason, message]);
    const eventTime = new Date(clock.now()).toISOString().replace("Z", "000Z");
    const known = series.get(key);
    if (known !== undefined) {
      known.count += 1;
      series.set(key, known);
      try {
        await client.send("PATCH", pathOf(events, namespace, known.name), {
          body: { series: { count: known.count, lastObservedTime: eventTime } },
          contentType: "application/merge-patch+json",
        });
        onEvent?.("counted");
        return;
      } catch (error) {
        // Events live for an hour.
        if (!isAdtallyError(error, "NOT_FOUND")) throw error;
      }
    }
    const digest = createHash("sha256").update(`${key} ${instance} ${eventTime}`).digest("hex").slice(0, 16);
    const name = `${metadata.name}.${digest}`;
    await client.send("POST", pathOf(events, namespace), {
      body: {
        apiVersion: "events.k8s.io/v1",
        kind: "Event",
        metadata: { name, namespace },
        regarding: {
          apiVersion: `${GROUP}/${VERSION}`,
          kind: "ClickCluster",
          namespace,
          name: metadata.name,
          uid: metadata.uid,
        },
        type,
        reason: reason.slice(0, 128),
        note: message.slice(0, NOTE_MAX),
        action,
        eventTime,
        reportingController: CONTROLLER,
        reportingInstance: instance.slice(0, 128),
      },
    });
    series.set(key, { name, count: 1 });
    onEvent?.("told");
  }

  return {
    emit(cluster, type, doing, because) {
      if (!mayTell(cluster.metadata.uid)) return onEvent?.("dropped");
      waiting += 1;
      telling = telling
        .then(() => tell(cluster, type, doing, because))
        .catch((error: unknown) => {
          onEvent?.("failed");
          logger.debug({ reason: because.reason, error: messageOf(error) }, "an event could not be told");
        })
        .finally(() => void (waiting -= 1));
    },
    settled: () => telling,
  };
}
