/**
 * What the operator may do on the API server: all that it needs, and nothing else. The chart's roles say
 * the same (a test compares them), and the suite against the real API server runs by these very rules.
 *
 *  Z1 No wildcard: each verb of each resource is one that the operator uses.
 *  Z2 Of Secrets it reads those that a ClickCluster names, one by one: it can list none.
 */
import { GROUP } from "./api/meta.ts";

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const READ = ["list", "watch"];
/** Server-side apply makes what is not there yet, which asks for `create` as well. */
const APPLY = ["create", "patch"];

/** In each namespace whose ClickClusters are looked after; in all of them by a ClusterRole. */
export const CLUSTER_RULES: readonly Rule[] = [
  { apiGroups: [GROUP], resources: ["clickclusters"], verbs: [...READ, "patch"] },
  // Who sets a finalizer of an object, or owns others by it, must be allowed that by itself.
  { apiGroups: [GROUP], resources: ["clickclusters/finalizers"], verbs: ["update"] },
  { apiGroups: [GROUP], resources: ["clickclusters/status", "hotadsplits/status"], verbs: ["update"] },
  { apiGroups: [GROUP], resources: ["hotadsplits"], verbs: [...READ, ...APPLY, "delete"] },
  { apiGroups: ["apps"], resources: ["statefulsets", "deployments"], verbs: [...READ, ...APPLY] },
  { apiGroups: [""], resources: ["pods"], verbs: [...READ, "delete"] },
  { apiGroups: [""], resources: ["configmaps"], verbs: ["get", ...READ, ...APPLY, "update", "delete"] },
  { apiGroups: [""], resources: ["services", "serviceaccounts"], verbs: [...READ, ...APPLY, "delete"] },
  { apiGroups: ["policy"], resources: ["poddisruptionbudgets"], verbs: [...READ, ...APPLY, "delete"] },
  {
    apiGroups: ["autoscaling"],
    resources: ["horizontalpodautoscalers"],
    verbs: [...READ, ...APPLY, "delete"],
  },
  { apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"], verbs: [...READ, ...APPLY, "delete"] },
  // Passwords and certificates of Redis.
  { apiGroups: [""], resources: ["secrets"], verbs: ["get"] },
  { apiGroups: ["events.k8s.io"], resources: ["events"], verbs: [...APPLY] },
];

/** In the namespace of the Lease. */
export const LEASE_RULES: readonly Rule[] = [
  { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get", "create", "update"] },
];
