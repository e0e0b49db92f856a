/** What a pod's status says of the program in it. */
import type { ActorHost } from "../plan/world.ts";
import { COMPONENT_LABEL, RELEASE_LABEL } from "../render/manifest.ts";
import { PORTS } from "../render/settings.ts";
import type { PodObject } from "./caches.ts";

/** Where each program answers the operator. */
const REPORT_PORTS = { actors: PORTS.shards, gateways: PORTS.internal };

export function actorHostOf(pod: PodObject): ActorHost {
  const { metadata } = pod;
  return {
    uid: metadata.uid ?? "",
    address: addressOf(pod, "actors"),
    release: metadata.labels?.[RELEASE_LABEL] ?? "",
    isUp: isUp(pod),
    isEnding: metadata.deletionTimestamp !== undefined,
  };
}

/** By name where it has no address yet: nobody is sent there before it is up. */
export function addressOf({ metadata, status }: PodObject, component: "actors" | "gateways"): string {
  const ip = status?.podIP;
  const host = ip === undefined || ip === "" ? metadata.name : ip.includes(":") ? `[${ip}]` : ip;
  return `${host}:${REPORT_PORTS[component]}`;
}

/** Its program has begun at some time: there may be clicks on its disk. */
export function hasServed({ status }: PodObject): boolean {
  return (status?.podIP ?? "") !== "" && status?.phase !== "Pending" && status?.phase !== "Succeeded";
}

/**
 * The program runs, has started, and its node is alive. Not whether it is ready: an actor host that
 * acquires shards is not. Of a node that has gone silent the node controller says that its pods are not
 * ready, while their containers, as last heard, were: no kubelet ever says the two at once.
 */
function isUp({ metadata, status }: PodObject): boolean {
  const { conditions = [], containerStatuses = [], phase, podIP = "" } = status ?? {};
  const is = (type: string) => conditions.find((each) => each.type === type)?.status;
  if (phase !== "Running" || podIP === "" || metadata.labels?.[COMPONENT_LABEL] === undefined) return false;
  if (is("Ready") === "False" && is("ContainersReady") === "True") return false;
  const [first] = containerStatuses;
  return first?.state?.running !== undefined && first.started !== false;
}
