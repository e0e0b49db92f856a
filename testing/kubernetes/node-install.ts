/**
 * What makes a Kubernetes node of this machine: kubelet, kube-proxy and scheduler (built),
 * containerd, runc, CNI plugins, iptables and conntrack (Debian's packages, unpacked), and the
 * image of the process that holds a pod's namespaces. Nothing is installed on the machine itself.
 */
import { mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { cached, reportToStderr, type Report } from "../servers/cache.ts";
import { hasCommand } from "../servers/command.ts";
import { unpackDebianPackages } from "../servers/debian-package.ts";
import { apiServerLacks } from "./api-server.ts";
import { goTool, installDns, installNodePrograms } from "./kubernetes-install.ts";
import { writeImage } from "./oci-image.ts";

const PACKAGES = ["containerd", "runc", "containernetworking-plugins", "iptables", "conntrack"];
export const PAUSE_IMAGE = "adtally.test/pause:1";

export interface NodeInstallation {
  readonly programs: Awaited<ReturnType<typeof installNodePrograms>>;
  /** CoreDNS. */
  readonly dns: string;
  /** Debian's packages, unpacked. */
  readonly packages: string;
  /** An OCI archive. */
  readonly pauseImage: string;
}

/** Why no node can run on this machine, as far as can be told without trying; undefined where one may. */
export async function nodeLacks(): Promise<string | undefined> {
  if (process.platform !== "linux")
    return "a Kubernetes node needs Linux: run these tests on a Linux machine";
  if (process.getuid?.() !== 0) {
    return "a Kubernetes node needs root (namespaces, mounts, network devices): start again as root";
  }
  const commands = {
    unshare: "util-linux",
    nsenter: "util-linux",
    ip: "iproute2",
    "apt-get": "apt",
    dpkg: "dpkg",
  };
  for (const [command, from] of Object.entries(commands)) {
    if (await hasCommand(command, command === "ip" ? "-V" : "--version")) continue;
    return `${command} is missing: install ${from}, then start again`;
  }
  const fileSystems = readFileSync("/proc/filesystems", "utf8");
  for (const needed of ["overlay", "cgroup2"]) {
    if (new RegExp(`\\b${needed}$`, "m").test(fileSystems)) continue;
    return `the kernel has no file system ${needed}: load its module (modprobe ${needed}), or run a kernel that has it`;
  }
  return apiServerLacks();
}

/** @throws Error that says what is missing */
export async function installNode(report: Report = reportToStderr): Promise<NodeInstallation> {
  const programs = await installNodePrograms(report);
  const dns = await installDns(report);
  const packages = await cached("node-debian", PACKAGES.join(", "), report, async (into) => {
    await unpackDebianPackages(PACKAGES, into);
  });
  const pause = await cached("node-pause-1", "the pause image", report, async (into) => {
    const root = path.join(into, "root");
    mkdirSync(root);
    await goTool(["build", "-ldflags=-s -w", "-o", path.join(root, "pause"), "./pause"]);
    await writeImage({
      tag: PAUSE_IMAGE,
      folder: root,
      config: { Entrypoint: ["/pause"], User: "65535:65535" },
      file: path.join(into, "pause.tar"),
    });
  });
  return { programs, dns, packages, pauseImage: path.join(pause, "pause.tar") };
}
