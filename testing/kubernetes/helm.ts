/** helm, as whoever a kubeconfig names, or without any cluster. */
import { spawn } from "node:child_process";
import { KUBERNETES_VERSION } from "./kubernetes-install.ts";

const DEADLINE_MS = 60_000;

/** What it printed. @throws Error with what it said where it failed */
export type Helm = (args: readonly string[]) => Promise<string>;

/** With a home of its own in `dir`: it looks into no cluster and no repository of whoever runs it. */
export function helmOf(command: string, dir: string, kubeconfig = "/dev/null"): Helm {
  const env = { PATH: process.env["PATH"], HOME: dir, KUBECONFIG: kubeconfig, HELM_NO_PLUGINS: "1" };
  return (args) =>
    new Promise((resolve, reject) => {
      const child = spawn(command, args, { env, timeout: DEADLINE_MS, stdio: ["ignore", "pipe", "pipe"] });
      let printed = "";
      let said = "";
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => (printed += chunk));
      child.stderr.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
      child.on("error", (error) => reject(new Error(`helm cannot be run: ${error.message}`)));
      child.on("close", (code, signal) => {
        if (code === 0) return resolve(printed);
        const why = signal === null ? `ended with ${code}` : `took more than ${DEADLINE_MS} ms`;
        reject(new Error(`helm ${args.join(" ")} ${why}: ${said.trim()} ${printed.trim()}`.trim()));
      });
    });
}

/** One that was built from its module takes no version of Kubernetes for granted that is of today. */
export const ofKubernetes = ["--kube-version", KUBERNETES_VERSION] as const;
