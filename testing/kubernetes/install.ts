/**
 * node testing/kubernetes/install.ts: what tests against Kubernetes need, into .cache/servers, one
 * after the other: a build takes all cores by itself. Anything that cannot be had fails the whole.
 */
import { reportToStderr } from "../servers/cache.ts";
import { installControlPlane, installDns, installHelm, installKubeconform } from "./kubernetes-install.ts";
import { installNode } from "./node-install.ts";

for (const install of [installControlPlane, installHelm, installKubeconform, installDns, installNode]) {
  try {
    await install();
  } catch (error) {
    reportToStderr(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
