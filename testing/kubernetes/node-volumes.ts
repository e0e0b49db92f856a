/**
 * Volumes for the claims of StatefulSets: folders of the node's disk, made beforehand, since no
 * provisioner runs. The storage class is the default one; a claim is bound once its pod is placed.
 */
import { chmodSync, mkdirSync } from "node:fs";
import path from "node:path";
import type { Kubectl } from "./kubectl.ts";

const CLASS = "adtally-local";
/** What claims may ask for at the most; nothing holds a folder to it. */
const CAPACITY = "10Gi";
const ANNOTATION = "storageclass.kubernetes.io/is-default-class";

export interface VolumeOptions {
  readonly node: string;
  /** Of the node's disk. */
  readonly folder: string;
  /** The first number; with `count` it says which volumes. */
  readonly from: number;
  readonly count: number;
}

export async function addVolumes(kubectl: Kubectl, options: VolumeOptions): Promise<void> {
  const { node, folder, from, count } = options;
  const storageClass = {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: CLASS, annotations: { [ANNOTATION]: "true" } },
    provisioner: "kubernetes.io/no-provisioner",
    volumeBindingMode: "WaitForFirstConsumer",
  };
  const volumes = Array.from({ length: count }, (_, i) => {
    const name = `${node}-${from + i}`;
    const at = path.join(folder, name);
    mkdirSync(at, { recursive: true });
    // Pods run as nobody in particular.
    chmodSync(at, 0o777);
    const onNode = [{ key: "kubernetes.io/hostname", operator: "In", values: [node] }];
    return {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name },
      spec: {
        capacity: { storage: CAPACITY },
        accessModes: ["ReadWriteOnce"],
        persistentVolumeReclaimPolicy: "Retain",
        storageClassName: CLASS,
        local: { path: at },
        nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: onNode }] } },
      },
    };
  });
  const input = [storageClass, ...volumes].map((each) => JSON.stringify(each)).join("\n---\n");
  await kubectl(["apply", "-f", "-"], { input });
}
