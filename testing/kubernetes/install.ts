/**
 * node testing/kubernetes/install.ts: what tests against Kubernetes need, into .cache/servers, one
 * after the other: a build takes all cores by itself. Anything that cannot be had fails the whole.
 */
import { reportToStderr } from "../servers/cache.ts";
import {
  installControlPlane,
  installHelm,
  installKubeconform,
  installNodePrograms,
} from "./kubernetes-install.ts";

for (const install of [installControlPlane, installNodePrograms, installHelm, installKubeconform]) {
  try {
    await install();
  } catch (error) {
    reportToStderr(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
