/**
 * Everything that the operator can do. The list is closed, and whoever acts must know each of it.
 *
 *  D1 Each action can be done twice, and an answer to it can get lost: the next plan, from what is
 *     then observed, goes on from either outcome.
 *  D2 What was planned on an older state than there is must not be done: where an action says what it
 *     is based on (`after`, `uid`), it is refused if that is no longer so.
 *  D3 An action's `because` is told as an event once it is done; never before.
 *
 * A shard is handed over by publishing an assignment: its former owner serves until the next one does
 * (actors/shard/succession.ts). There is no other way, and no action for one.
 */
import type { Assignment } from "../../actors/assignment/assignment.ts";
import type { RoutingTable } from "../../actors/routing/table.ts";
import type { ClickClusterStatus } from "../api/click-cluster-status.ts";
import type { HotAdSplitSpec, HotAdSplitStatus } from "../api/hot-ad-split.ts";
import type { Component } from "../api/release.ts";

export interface Because {
  /** One word for programs: "ScaledUp". */
  readonly reason: string;
  readonly message: string;
}

interface Done {
  readonly because: Because;
}

export type Action =
  | (Done & { readonly kind: "add-finalizer" })
  /** `isDrained`: all that it took in is counted, and no volume holds any of it. */
  | (Done & { readonly kind: "remove-finalizer"; readonly isDrained: boolean })
  /** `after`: number of the newest generation published so far; 0: none. */
  | (Done & { readonly kind: "publish-routing"; readonly table: RoutingTable; readonly after: number })
  /** `after`: version of the assignment published so far; 0: none. */
  | (Done & { readonly kind: "publish-assignment"; readonly assignment: Assignment; readonly after: number })
  /** `replicas` undefined: an autoscaler's to set. */
  | (Done & {
      readonly kind: "apply-workload";
      readonly component: Component;
      readonly replicas: number | undefined;
      readonly release: string;
    })
  /** Its pod ends in good order and comes back with the StatefulSet's release. `uid`: of that very pod. */
  | (Done & { readonly kind: "restart-host"; readonly host: string; readonly uid: string })
  | (Done & { readonly kind: "apply-split"; readonly name: string; readonly spec: HotAdSplitSpec })
  | (Done & { readonly kind: "delete-split"; readonly name: string; readonly uid: string })
  | (Done & { readonly kind: "apply-object"; readonly object: string })
  | (Done & { readonly kind: "delete-object"; readonly object: string })
  | { readonly kind: "set-split-status"; readonly name: string; readonly status: HotAdSplitStatus }
  | { readonly kind: "set-status"; readonly status: ClickClusterStatus }
  /** Of what is no action: a condition that turned. */
  | (Done & { readonly kind: "emit-event"; readonly type: "Normal" | "Warning" });
