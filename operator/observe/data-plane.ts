/**
 * What the operator asks of everything that is not Kubernetes: actor hosts, gateways, backends, and the
 * fast copy of the shared documents. Each call has a deadline, and fails where there was no answer: who
 * asks makes UNKNOWN of it.
 */
import type { HostReport } from "../../actors/load/report.ts";
import type { ClickCluster } from "../api/click-cluster.ts";
import type { Backends } from "../plan/world.ts";

export interface SharedTexts {
  readonly routing: string | undefined;
  readonly assignment: string | undefined;
}

export interface DataPlane {
  /** Of the actor host `name`, and of no other that has its address now. @throws where it did not answer */
  hostReport(cluster: ClickCluster, name: string, address: string): Promise<HostReport>;
  /** Clicks on the disk of the gateway at this address. @throws where it did not answer */
  spooledClicks(cluster: ClickCluster, address: string): Promise<number>;
  /** Never throws: what did not answer is not reachable, what could not be asked is UNKNOWN. */
  backends(cluster: ClickCluster): Promise<Backends>;
  /** Brings the fast copy up to these, now and until it stands; it is never waited for. */
  copy(cluster: ClickCluster, texts: SharedTexts): void;
  /** Of a cluster that is gone. */
  forget(namespace: string, name: string): void;
  close(): Promise<void>;
}
