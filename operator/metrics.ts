/** What the operator counts. Closed label sets stand beside what makes them. */
import type { Metrics } from "../actors/runtime/metrics.ts";
import { OUTCOMES, type Outcome } from "./controller.ts";
import type { Restart } from "./kube/reflector.ts";
import type { Method } from "./kube/client.ts";
import type { Action } from "./plan/actions.ts";

const KINDS = [
  "add-finalizer",
  "remove-finalizer",
  "publish-routing",
  "publish-assignment",
  "apply-workload",
  "restart-host",
  "apply-split",
  "delete-split",
  "apply-object",
  "delete-object",
  "set-split-status",
  "set-status",
  "emit-event",
] as const satisfies readonly Action["kind"][];
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const satisfies readonly Method[];
const ANSWERS = ["2xx", "409", "4xx", "5xx", "none"] as const;
const RESTARTS = ["silent", "error", "expired"] as const satisfies readonly Restart[];
const EVENTS = ["told", "counted", "dropped", "failed"] as const;
const COPIES = ["written", "failed", "newer"] as const;
const ROUND_SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30];

export interface OperatorMetrics {
  clusters(count: number): void;
  leading(epoch: number | undefined): void;
  stale(kinds: number): void;
  round(outcome: Outcome, tookMs: number): void;
  action(action: Action): void;
  answer(method: Method, status: number): void;
  watchRestart(why: Restart): void;
  event(what: (typeof EVENTS)[number]): void;
  copy(outcome: (typeof COPIES)[number]): void;
}

export function createOperatorMetrics(metrics: Metrics): OperatorMetrics {
  const gauge = (name: string, help: string) => metrics.gauge({ name, help, labels: {} }).of({});
  const clusters = gauge("adtally_operator_clusters", "ClickClusters that are looked after.");
  const leading = gauge("adtally_operator_leading", "1 where this operator holds the Lease, else 0.");
  const epoch = gauge("adtally_operator_epoch", "Epoch of its term; 0 where another leads.");
  const stale = gauge("adtally_operator_stale_kinds", "Kinds of objects of which nothing current is known.");
  const rounds = metrics.counter({
    name: "adtally_operator_rounds_total",
    help: "Rounds over a ClickCluster, by how they ended.",
    labels: { outcome: OUTCOMES },
  });
  const took = metrics
    .histogram({
      name: "adtally_operator_round_seconds",
      help: "How long a round took.",
      labels: {},
      buckets: ROUND_SECONDS,
    })
    .of({});
  const actions = metrics.counter({
    name: "adtally_operator_actions_total",
    help: "What was done, by its kind.",
    labels: { kind: KINDS },
  });
  const answers = metrics.counter({
    name: "adtally_operator_kubernetes_requests_total",
    help: "Requests to the Kubernetes API server, by what it answered.",
    labels: { method: METHODS, answer: ANSWERS },
  });
  const restarts = metrics.counter({
    name: "adtally_operator_watch_restarts_total",
    help: "Watches that did not end as agreed: silent, broken, or of a version that is gone.",
    labels: { why: RESTARTS },
  });
  const events = metrics.counter({
    name: "adtally_operator_events_total",
    help: "Events, by what became of them.",
    labels: { what: EVENTS },
  });
  const copies = metrics.counter({
    name: "adtally_operator_copies_total",
    help: "Copies of routing tables and assignments into Redis, by what became of them.",
    labels: { outcome: COPIES },
  });
  return {
    clusters: (count) => clusters.set(count),
    leading(term) {
      leading.set(term === undefined ? 0 : 1);
      epoch.set(term ?? 0);
    },
    stale: (kinds) => stale.set(kinds),
    round(outcome, tookMs) {
      rounds.of({ outcome }).add();
      took.observe(tookMs / 1_000);
    },
    action: ({ kind }) => actions.of({ kind }).add(),
    answer: (method, status) => answers.of({ method, answer: answerOf(status) }).add(),
    watchRestart: (why) => restarts.of({ why }).add(),
    event: (what) => events.of({ what }).add(),
    copy: (outcome) => copies.of({ outcome }).add(),
  };
}

function answerOf(status: number): (typeof ANSWERS)[number] {
  if (status === 0) return "none";
  if (status === 409) return "409";
  return status < 300 ? "2xx" : status < 500 ? "4xx" : "5xx";
}
