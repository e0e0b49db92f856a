/**
 * A real Kubernetes node on this machine, with the API server that it belongs to: containerd and
 * runc run its pods, kube-proxy answers for its Services, CoreDNS for their names. This machine
 * reaches the node, its pods and its Services; pods reach this machine at `hostAddress`, and
 * nothing beyond.
 *
 *  N1 Whatever ends, ends all of it, pods included (M1).
 *  N2 A node that was killed comes back by `restart` as a machine does after a power cut: its disk
 *     is there, its processes are not.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { reportToStderr, type Report } from "../servers/cache.ts";
import { freePorts, startProcess, type ServerProcess } from "../servers/process.ts";
import { startApiServer, type ApiServer } from "./api-server.ts";
import * as config from "./node-config.ts";
import { installNode, PAUSE_IMAGE } from "./node-install.ts";
import { addVolumes } from "./node-volumes.ts";
import { holdAddress, startMachine, type Machine } from "./node-machine.ts";

const READY_MS = 120_000;
const CTR = ["-a", config.CONTAINERD_SOCKET, "-n", "k8s.io"];

export interface NodeOptions {
  /** Holds all that it writes, on a disk: overlayfs is laid over it. */
  readonly dir: string;
  readonly name?: string;
  /** OCI archives that its pods may run. */
  readonly images?: readonly string[];
  readonly report?: Report;
}

export interface ClusterNode {
  readonly name: string;
  readonly apiServer: ApiServer;
  /** Of the node: NodePorts answer here. */
  readonly address: string;
  /** Of this machine, as the node and its pods reach it. */
  readonly hostAddress: string;
  readonly isRunning: boolean;
  importImage(file: string): Promise<void>;
  /** Volumes that claims of pods are bound to, each for one claim. */
  addVolumes(count: number): Promise<void>;
  /** Runs a command in the node's namespaces: what it printed. */
  run(command: string, args: readonly string[]): Promise<string>;
  /** The node alone, as a power cut would; the API server goes on. */
  kill(): Promise<void>;
  /** After `kill`: resolves when the node is Ready again. */
  restart(): Promise<void>;
  /** The node and the API server. */
  stop(): Promise<void>;
}

/** @throws Error that says what this machine, or its kernel, lacks */
export async function startNode(options: NodeOptions): Promise<ClusterNode> {
  const { dir, name = "adtally-node", images = [], report = reportToStderr } = options;
  const { programs, dns, packages, pauseImage } = await installNode(report);
  const state = path.join(dir, "node");
  mkdirSync(path.join(state, "network"), { recursive: true });
  const at = (file: string) => path.join(state, file);
  // Addresses kept for measurements between two machines: nobody else's network has them.
  const subnet = `198.18.${process.pid % 250}`;
  const hostAddress = `${subnet}.1`;
  const address = `${subnet}.6`;
  const device = `adtally${process.pid}`;
  // Of this process as well: nodes of two checkouts do not meet.
  const cluster = `10.${64 + (process.pid % 128)}`;
  const services = `${cluster}.0.0/17`;
  const pods = `${cluster}.128.0/24`;
  const routes = [services, pods];
  const network = { device: `${device}n`, hostAddress: `${subnet}.5`, address, routes, services };
  const newMachine = () => startMachine({ dir: state, name, packages, network });

  const held = await holdAddress(device, hostAddress, routes);
  const beside: ServerProcess[] = [];
  let machine: Machine | undefined;
  let apiServer: ApiServer | undefined;
  const stop = async () => {
    try {
      await machine?.kill();
    } finally {
      await apiServer?.stop();
      for (const each of beside) await each.kill();
      await held.release();
    }
  };
  try {
    // First, since it tells what the kernel lacks.
    machine = await newMachine();
    const server = await startApiServer({
      dir: path.join(dir, "control-plane"),
      address: hostAddress,
      services,
      report,
    });
    apiServer = server;
    const kubeconfigs = {
      kubelet: await server.userKubeconfig(`system:node:${name}`, ["system:nodes"]),
      proxy: await server.userKubeconfig("system:kube-proxy"),
      scheduler: await server.userKubeconfig("system:kube-scheduler"),
      dns: await server.userKubeconfig("adtally-dns", ["system:masters"]),
    };
    const files = {
      authority: at("authority.crt"),
      kubelet: at("kubelet.yaml"),
      proxy: at("kube-proxy.yaml"),
    };
    writeFileSync(files.authority, server.authority.certificate);
    writeFileSync(files.kubelet, config.kubeletConfig(state, files.authority, hostAddress));
    writeFileSync(files.proxy, config.proxyConfig(kubeconfigs.proxy, name, pods));
    writeFileSync(at("containerd.toml"), config.containerdConfig(PAUSE_IMAGE, at("network")));
    writeFileSync(path.join(at("network"), "10-pods.conflist"), config.networkConfig(pods));

    const importInto = async (into: Machine, file: string) => {
      await into.run("ctr", [...CTR, "images", "import", path.resolve(file)]);
    };
    /** What the kubelet said last of itself, and when; undefined before its first word. */
    const readiness = async () => {
      const fields = "{.status} {.lastHeartbeatTime}";
      const path = `jsonpath={range .status.conditions[?(@.type=="Ready")]}${fields}{end}`;
      const said = await server.kubectl(["get", "node", name, "--ignore-not-found", "-o", path]);
      const [status, at] = said.split(" ");
      return { isReady: status === "True", at };
    };
    const launchPrograms = async (machine: Machine) => {
      const { run } = machine;
      const { at: saidBefore } = await readiness();
      await machine.start({
        name: "containerd",
        command: "containerd",
        args: ["--config", at("containerd.toml")],
        logFile: at("containerd.log"),
        isReady: () =>
          run("ctr", [...CTR, "version"]).then(
            () => true,
            () => false,
          ),
        readyMs: READY_MS,
      });
      for (const image of [pauseImage, ...images]) await importInto(machine, image);
      await machine.start({
        name: "kube-proxy",
        command: programs["kube-proxy"],
        args: [`--config=${files.proxy}`],
        logFile: at("kube-proxy.log"),
        isReady: () => true,
        readyMs: READY_MS,
      });
      await machine.start({
        name: "kubelet",
        command: programs.kubelet,
        args: [
          `--config=${files.kubelet}`,
          `--kubeconfig=${kubeconfigs.kubelet}`,
          `--hostname-override=${name}`,
          `--node-ip=${address}`,
        ],
        logFile: at("kubelet.log"),
        isReady: async () => {
          const { isReady, at: said } = await readiness();
          return isReady && said !== saidBefore;
        },
        readyMs: READY_MS,
      });
    };
    beside.push(
      await startProcess({
        name: "kube-scheduler",
        command: programs["kube-scheduler"],
        args: [`--kubeconfig=${kubeconfigs.scheduler}`, "--leader-elect=false", "--secure-port=0"],
        logFile: at("kube-scheduler.log"),
        isReady: () => true,
        readyMs: READY_MS,
      }),
    );
    const [readyPort] = await freePorts(1);
    const dnsReady = `127.0.0.1:${readyPort}`;
    writeFileSync(at("Corefile"), config.dnsConfig(hostAddress, kubeconfigs.dns, dnsReady));
    beside.push(
      await startProcess({
        name: "CoreDNS",
        command: dns,
        args: ["-conf", at("Corefile")],
        logFile: at("coredns.log"),
        isReady: () =>
          fetch(`http://${dnsReady}/ready`).then(
            ({ ok }) => ok,
            () => false,
          ),
        readyMs: READY_MS,
      }),
    );
    await launchPrograms(machine);
    const running = () => machine!;
    let volumes = 0;
    return {
      name,
      apiServer: server,
      address,
      hostAddress,
      get isRunning() {
        return running().isRunning;
      },
      importImage: (file) => importInto(running(), file),
      async addVolumes(count) {
        const from = volumes;
        volumes += count;
        await addVolumes(server.kubectl, { node: name, folder: at("volumes"), from, count });
      },
      run: (command, args) => running().run(command, args),
      kill: () => running().kill(),
      async restart() {
        await running().kill();
        machine = await newMachine();
        await launchPrograms(machine);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
