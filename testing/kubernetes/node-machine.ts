/**
 * What a Kubernetes node takes for a machine: namespaces with a first process (node-namespace.sh),
 * a cgroup, and a pair of virtual network devices that joins it to this machine. No programs yet.
 *
 *  M1 It ends with its parent: the first process is killed with whoever started it, and the kernel
 *     then kills whatever else runs in its namespaces. Devices and routes go with the network.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { runCommand } from "../servers/command.ts";
import { startProcess, type ServerCommand, type ServerProcess } from "../servers/process.ts";
import { createNodeCgroup } from "./node-cgroup.ts";

const READY_MS = 30_000;
/** After a node's own routes, which have none. */
const LAST_METRIC = "4096";
const SCRIPT = path.join(import.meta.dirname, "node-namespace.sh");
/** Into the cgroups named before `--`, then the command: what it starts is in them as well. */
const IN_CGROUPS = 'while [ "$1" != -- ]; do echo $$ >"$1"; shift; done; shift; exec "$@"';
const NAMESPACES = ["-m", "-n", "-u", "-C", "-p"];

export interface MachineOptions {
  /** Its own files; what is there of an earlier one is its disk. */
  readonly dir: string;
  readonly name: string;
  /** Debian's packages, unpacked. */
  readonly packages: string;
  readonly network: MachineNetwork;
}

export interface MachineNetwork {
  /** Of this machine; the other end is the node's eth0. */
  readonly device: string;
  /** Of this end, in a network of four addresses with the other. */
  readonly hostAddress: string;
  readonly address: string;
  /** What this machine reaches through the node. */
  readonly routes: readonly string[];
  /**
   * Of these, addresses that no packet may leave the node for: until kube-proxy knows a Service, who
   * asks for it is refused. A connection begun before would hang for two minutes, for what is known of
   * it by then never changes.
   */
  readonly services?: string;
}

export interface Machine {
  readonly isRunning: boolean;
  /** A program that runs in it until the machine ends. */
  start(command: ServerCommand): Promise<void>;
  /** Runs a command in it: what it printed. */
  run(command: string, args: readonly string[]): Promise<string>;
  /** As a power cut would. */
  kill(): Promise<void>;
}

/** @throws Error that says what the kernel lacks */
export async function startMachine({ dir, name, packages, network }: MachineOptions): Promise<Machine> {
  mkdirSync(dir, { recursive: true });
  const cgroup = createNodeCgroup();
  if (cgroup.version === 2) writeFileSync(path.join(dir, "cgroup-v2"), "");
  const env = { PATH: `${path.join(dir, "bin")}:/usr/sbin:/usr/bin:/sbin:/bin` };
  let inside = "";
  let namespaces: ServerProcess | undefined;
  try {
    namespaces = await startProcess({
      name: "the node's namespaces",
      command: "sh",
      args: [
        ...["-c", IN_CGROUPS, "sh", ...cgroup.procs, "--", "unshare", ...NAMESPACES],
        ...["--fork", "--kill-child", "sh", SCRIPT, dir, packages, name],
      ],
      logFile: path.join(dir, "namespaces.log"),
      isReady: (output) => {
        inside = output.map((line) => /^READY (\d+)$/.exec(line)?.[1]).find(Boolean) ?? "";
        return inside !== "";
      },
      readyMs: READY_MS,
    });
    await connect(inside, network, env);
  } catch (error) {
    await namespaces?.kill();
    await disconnect(network.device);
    await cgroup.remove();
    const lacking = /^LACKS (.*)$/m.exec(error instanceof Error ? error.message : "")?.[1];
    if (lacking === undefined) throw error;
    throw new Error(`a Kubernetes node cannot run here: this kernel lacks, or does not grant, ${lacking}`, {
      cause: error,
    });
  }
  const first = namespaces;
  // Once controllers are handed down (version 2), processes live in the leaves alone.
  const procs = cgroup.procs.map((file) => (cgroup.version === 2 ? file.replace(/[^/]+$/, "init/$&") : file));
  const enter = ["-c", IN_CGROUPS, "sh", ...procs, "--", "nsenter", "-t", inside, ...NAMESPACES, "--"];
  const daemons: ServerProcess[] = [];
  return {
    get isRunning() {
      return first.isRunning;
    },
    async start(command) {
      const args = [...enter, command.command, ...command.args];
      daemons.push(await startProcess({ ...command, command: "sh", args, env: { ...command.env, ...env } }));
    },
    run: (command, args) =>
      runCommand("sh", [...enter, command, ...args], { env: { ...process.env, ...env } }),
    async kill() {
      await first.kill();
      await Promise.all(daemons.map((daemon) => daemon.kill()));
      await disconnect(network.device);
      await cgroup.remove();
    },
  };
}

/** From outside: only there can a device be handed in. */
async function connect(pid: string, network: MachineNetwork, env: NodeJS.ProcessEnv): Promise<void> {
  const { device, hostAddress, address, routes, services } = network;
  const ip = (...args: readonly string[]) => runCommand("ip", args);
  const ipInside = (...args: readonly string[]) => runCommand("nsenter", ["-t", pid, "-n", "ip", ...args]);
  await ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", pid);
  await ip("address", "add", `${hostAddress}/30`, "dev", device);
  await ip("link", "set", device, "up");
  await ipInside("address", "add", `${address}/30`, "dev", "eth0");
  await ipInside("link", "set", "eth0", "up");
  if (services !== undefined) {
    const refuse = ["iptables", "-A", "FORWARD", "-d", services, "-j", "REJECT"];
    await runCommand("nsenter", ["-t", pid, "-m", "-n", ...refuse], { env: { ...process.env, ...env } });
  }
  for (const route of routes) {
    await ip("route", "add", route, "via", address).catch((error: unknown) => {
      throw new Error(`${route} is routed already: does another node for tests run on this machine?`, {
        cause: error,
      });
    });
  }
  await ipInside("route", "add", "default", "via", hostAddress);
}

/**
 * The kernel does so by itself when the node's network ends, but in its own time: a next node would
 * find the routes taken.
 */
async function disconnect(device: string): Promise<void> {
  await runCommand("ip", ["link", "delete", device]).catch(() => undefined);
}

export interface HeldAddress {
  release(): Promise<void>;
}

/**
 * An address of this machine that is there whether a node is or not, until its process ends: on a
 * device whose other end is in a network that this process alone holds. What is sent to `routes` goes
 * there for as long as no node takes it, where nobody answers: it is refused in seconds, and does not
 * leave the machine.
 */
export async function holdAddress(
  device: string,
  address: string,
  routes: readonly string[],
): Promise<HeldAddress> {
  const holder = await startProcess({
    name: `the network that holds ${address}`,
    command: "unshare",
    args: ["-n", "sh", "-c", "echo HELD; exec sleep infinity"],
    isReady: (output) => output.includes("HELD"),
    readyMs: READY_MS,
  });
  const ip = (...args: readonly string[]) => runCommand("ip", args);
  const release = async () => {
    await holder.kill();
    await disconnect(device);
  };
  try {
    const pid = String(holder.pid);
    await ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", pid);
    await runCommand("nsenter", ["-t", pid, "-n", "ip", "link", "set", "eth0", "up"]);
    await ip("address", "add", `${address}/32`, "dev", device);
    await ip("link", "set", device, "up");
    for (const route of routes) await ip("route", "add", route, "dev", device, "metric", LAST_METRIC);
  } catch (error) {
    await release();
    throw error;
  }
  return { release };
}
