/** kubectl as whoever a kubeconfig names; and the writing of such files. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { stringify } from "yaml";
import type { KeyPair } from "./certificates.ts";

const DEADLINE_MS = 60_000;

export interface KubectlOptions {
  /** What it reads: manifests for `apply -f -`. */
  readonly input?: string;
  readonly deadlineMs?: number;
}

/** What it printed. @throws Error with what it said where it failed */
export type Kubectl = (args: readonly string[], options?: KubectlOptions) => Promise<string>;

export function kubectlOf(command: string, kubeconfig: string): Kubectl {
  return (args, { input = "", deadlineMs = DEADLINE_MS } = {}) =>
    new Promise((resolve, reject) => {
      const child = spawn(command, ["--kubeconfig", kubeconfig, ...args], { timeout: deadlineMs });
      let printed = "";
      let said = "";
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => (printed += chunk));
      child.stderr.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
      child.on("error", (error) => reject(new Error(`kubectl cannot be run: ${error.message}`)));
      child.on("close", (code, signal) => {
        if (code === 0) return resolve(printed);
        const why = signal === null ? `ended with ${code}` : `took more than ${deadlineMs} ms`;
        reject(new Error(`kubectl ${args.join(" ")} ${why}: ${said.trim()}`));
      });
      child.stdin.on("error", () => undefined);
      child.stdin.end(input);
    });
}

export interface Credentials {
  readonly url: string;
  /** Of the authority. */
  readonly authority: string;
  readonly user: string;
  /** A certificate, or a token. */
  readonly by: KeyPair | string;
}

export function writeKubeconfig(file: string, { url, authority, user, by }: Credentials): string {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const name = "adtally-test";
  const identity =
    typeof by === "string"
      ? { token: by }
      : { "client-certificate-data": base64(by.certificate), "client-key-data": base64(by.key) };
  const content = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server: url, "certificate-authority-data": base64(authority) } }],
    users: [{ name: user, user: identity }],
    contexts: [{ name, context: { cluster: name, user } }],
    "current-context": name,
  };
  writeFileSync(file, stringify(content), { mode: 0o600 });
  return file;
}
