/**
 * A real kube-apiserver over etcd, with the controller manager beside it, for tests: what it is
 * told it holds against its schemas and CEL rules, and who may what against RBAC, as a cluster
 * does. There is no node; node.ts adds one.
 *
 *  A1 What it was told outlives a restart and a kill of the API server: etcd goes on.
 *  A2 The address stays the same over restarts, and so does every kubeconfig.
 *  A3 All its processes end with their parent, and all its files are in `dir`.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import path from "node:path";
import { installDebianProgram, debianProgramLacks } from "../servers/debian-package.ts";
import { reportToStderr, type Report } from "../servers/cache.ts";
import { freePorts, startProcess, type ServerProcess } from "../servers/process.ts";
import {
  createClusterAuthority,
  createTokenKeys,
  type ClusterAuthority,
  type KeyPair,
} from "./certificates.ts";
import { kubectlOf, writeKubeconfig, type Kubectl } from "./kubectl.ts";
import { installControlPlane, kubernetesLacks } from "./kubernetes-install.ts";

const READY_MS = 60_000;
/** It would wait a minute for watches to end by themselves; etcd has all that was acknowledged. */
const STOP_MS = 2_000;
const LOOPBACK = "127.0.0.1";
const SERVICES = "10.96.0.0/16";
const ADMINISTRATORS = "system:masters";

const ETCD = { what: "etcd", package: "etcd-server", command: "etcd", folder: "etcd-debian" };

export interface ApiServerOptions {
  /** Holds all that it writes. */
  readonly dir: string;
  /** Of this machine, where it listens; loopback where nothing is said. A node needs one that it can reach. */
  readonly address?: string;
  /** Where Services have theirs: a network, its address ending in 0. */
  readonly services?: string;
  readonly report?: Report;
}

export interface ApiServer {
  readonly url: string;
  /** Of one who may do everything. */
  readonly kubeconfig: string;
  /** As one who may do everything. */
  readonly kubectl: Kubectl;
  readonly authority: ClusterAuthority;
  readonly isRunning: boolean;
  /** A kubeconfig of a service account, with a token that holds for an hour. */
  serviceAccountKubeconfig(namespace: string, name: string): Promise<string>;
  /** A kubeconfig of a user of these groups. */
  userKubeconfig(user: string, groups?: readonly string[]): Promise<string>;
  kubectlAs(kubeconfig: string): Kubectl;
  /** The API server alone, by SIGKILL: every watch ends, nothing answers. */
  kill(): Promise<void>;
  /** The API server alone, where it runs; again on the same address. */
  restart(): Promise<void>;
  /** All of it. */
  stop(): Promise<void>;
}

/** Why no API server can be had on this machine; undefined where one can. */
export async function apiServerLacks(): Promise<string | undefined> {
  return (await kubernetesLacks()) ?? (await debianProgramLacks(ETCD));
}

export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { dir, address = LOOPBACK, services = SERVICES, report = reportToStderr } = options;
  const etcd = await installDebianProgram(ETCD, report);
  const programs = await installControlPlane(report);
  mkdirSync(dir, { recursive: true });
  const at = (name: string) => path.join(dir, name);
  const [port = 0, etcdPort = 0, etcdPeerPort = 0] = await freePorts(3);
  const url = `https://${address}:${port}`;

  const authority = await createClusterAuthority();
  // The first of the Services is the API server itself, as pods see it.
  const own = await authority.issue({
    user: "kube-apiserver",
    groups: [ADMINISTRATORS],
    hosts: [
      address,
      LOOPBACK,
      services.replace(/0\/\d+$/, "1"),
      "localhost",
      "kubernetes",
      "kubernetes.default.svc",
    ],
  });
  const admin = await authority.issue({ user: "adtally-admin", groups: [ADMINISTRATORS] });
  const tokenKeys = createTokenKeys();
  const files = {
    authority: write(at("authority.crt"), authority.certificate),
    ...writePair(at("apiserver"), own),
    tokenKey: write(at("tokens.key"), tokenKeys.privateKey),
    tokenPublicKey: write(at("tokens.pub"), tokenKeys.publicKey),
  };
  const kubeconfigOf = async (user: string, groups: readonly string[] = []) => {
    const by = await authority.issue({ user, groups });
    return writeKubeconfig(at(`${fileNameOf(user)}.kubeconfig`), {
      url,
      authority: authority.certificate,
      user,
      by,
    });
  };
  const kubeconfig = writeKubeconfig(at("admin.kubeconfig"), {
    url,
    authority: authority.certificate,
    user: "adtally-admin",
    by: admin,
  });
  const kubectl = kubectlOf(programs.kubectl, kubeconfig);

  const started: ServerProcess[] = [];
  const stopAll = async () => {
    for (const each of started.reverse()) await each.stop();
  };
  const launchApiServer = () =>
    startProcess({
      name: `kube-apiserver (${url})`,
      command: programs["kube-apiserver"],
      args: [
        `--etcd-servers=http://${LOOPBACK}:${etcdPort}`,
        `--bind-address=${address}`,
        `--advertise-address=${address}`,
        `--secure-port=${port}`,
        // Endpoints on loopback would be refused, again and again: there is no node to use them.
        ...(address === LOOPBACK ? ["--endpoint-reconciler-type=none"] : []),
        `--tls-cert-file=${files.certificate}`,
        `--tls-private-key-file=${files.key}`,
        `--client-ca-file=${files.authority}`,
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        `--kubelet-client-certificate=${files.certificate}`,
        `--kubelet-client-key=${files.key}`,
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        `--service-account-signing-key-file=${files.tokenKey}`,
        `--service-account-key-file=${files.tokenPublicKey}`,
        `--service-cluster-ip-range=${services}`,
        "--allow-privileged=true",
        "--profiling=false",
        "--shutdown-delay-duration=0s",
      ],
      logFile: at("kube-apiserver.log"),
      isReady: () => answers(`${url}/readyz`, authority.certificate, admin),
      readyMs: READY_MS,
      stopMs: STOP_MS,
    });

  let running: ServerProcess;
  try {
    started.push(
      await startProcess({
        name: `etcd (port ${etcdPort})`,
        command: etcd.command,
        args: [
          `--data-dir=${at("etcd")}`,
          `--listen-client-urls=http://${LOOPBACK}:${etcdPort}`,
          `--advertise-client-urls=http://${LOOPBACK}:${etcdPort}`,
          `--listen-peer-urls=http://${LOOPBACK}:${etcdPeerPort}`,
          `--initial-advertise-peer-urls=http://${LOOPBACK}:${etcdPeerPort}`,
          `--initial-cluster=default=http://${LOOPBACK}:${etcdPeerPort}`,
        ],
        env: etcd.env,
        logFile: at("etcd.log"),
        isReady: () => hasHealthy(`http://${LOOPBACK}:${etcdPort}/health`),
        readyMs: READY_MS,
      }),
    );
    running = await launchApiServer();
    started.push(
      await startProcess({
        name: "kube-controller-manager",
        command: programs["kube-controller-manager"],
        args: [
          `--kubeconfig=${await kubeconfigOf("system:kube-controller-manager")}`,
          `--service-account-private-key-file=${files.tokenKey}`,
          `--root-ca-file=${files.authority}`,
          "--use-service-account-credentials=true",
          "--leader-elect=false",
          "--secure-port=0",
        ],
        logFile: at("kube-controller-manager.log"),
        // Its first works: without a default service account no pod would be taken.
        isReady: () =>
          kubectl(["get", "serviceaccount", "default"]).then(
            () => true,
            () => false,
          ),
        readyMs: READY_MS,
      }),
    );
  } catch (error) {
    await stopAll();
    throw error;
  }

  return {
    url,
    kubeconfig,
    kubectl,
    authority,
    get isRunning() {
      return running.isRunning;
    },
    async serviceAccountKubeconfig(namespace, name) {
      const token = await kubectl(["create", "token", name, "-n", namespace, "--duration=1h"]);
      const user = `system:serviceaccount:${namespace}:${name}`;
      const credentials = { url, authority: authority.certificate, user, by: token.trim() };
      return writeKubeconfig(at(`${fileNameOf(user)}.kubeconfig`), credentials);
    },
    userKubeconfig: kubeconfigOf,
    kubectlAs: (file) => kubectlOf(programs.kubectl, file),
    kill: () => running.kill(),
    async restart() {
      await running.stop();
      running = await launchApiServer();
    },
    async stop() {
      await running.stop();
      await stopAll();
    },
  };
}

function write(file: string, text: string): string {
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

function writePair(base: string, pair: KeyPair): { readonly certificate: string; readonly key: string } {
  return { certificate: write(`${base}.crt`, pair.certificate), key: write(`${base}.key`, pair.key) };
}

const fileNameOf = (user: string): string => user.replaceAll(":", ".");

const hasHealthy = (url: string): Promise<boolean> =>
  fetch(url).then(
    async (answer) => (await answer.text()).includes('"true"'),
    () => false,
  );

function answers(url: string, ca: string, by: KeyPair): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request(url, { ca, cert: by.certificate, key: by.key, agent: false, timeout: 2_000 });
    asked.on("response", (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on("timeout", () => asked.destroy());
    asked.on("error", () => resolve(false));
    asked.end();
  });
}
