/**
 * Kubernetes' own programs, built from their Go module with what testing/kubernetes/tools pins:
 * the API server and kubectl by themselves, since most tests need no more; what makes a node of a
 * machine; helm and kubeconform. Each into a folder of the cache of its own. Needs Go; a first
 * build of them all takes a quarter of an hour on two cores, later ones seconds from Go's own cache.
 */
import path from "node:path";
import { cached, reportToStderr, type Report } from "../servers/cache.ts";
import { hasCommand, runCommand } from "../servers/command.ts";

/** As tools/go.mod has it; 1.35 is the first whose kubelet refuses cgroup v1. */
export const KUBERNETES_VERSION = "1.33.13";
/** As tools/dns/go.mod has it. */
export const DNS_VERSION = "1.14.3";
export const HELM_VERSION = "3.18.6";
export const KUBECONFORM_VERSION = "0.7.0";

const TOOLS = path.join(import.meta.dirname, "tools");
const CONTROL_PLANE = ["kube-apiserver", "kubectl", "kube-controller-manager"] as const;
const NODE = ["kubelet", "kube-scheduler", "kube-proxy"] as const;

type Program = (typeof CONTROL_PLANE)[number] | (typeof NODE)[number];
/** Where each is. */
export type Programs<Name extends Program> = Readonly<Record<Name, string>>;

/** Why Kubernetes cannot be built on this machine; undefined where it can. */
export async function kubernetesLacks(): Promise<string | undefined> {
  if (await hasCommand("go", "version")) return undefined;
  return "Go is missing, which builds Kubernetes and helm: install Go 1.25 or later (go), then start again";
}

export const installControlPlane = (
  report: Report = reportToStderr,
): Promise<Programs<(typeof CONTROL_PLANE)[number]>> => installPrograms("kubernetes", CONTROL_PLANE, report);

export const installNodePrograms = (
  report: Report = reportToStderr,
): Promise<Programs<(typeof NODE)[number]>> => installPrograms("kubernetes-node", NODE, report);

/** The command that runs helm. */
export const installHelm = (report: Report = reportToStderr): Promise<string> =>
  installModule(
    {
      name: "helm",
      version: HELM_VERSION,
      command: "helm.sh/helm/v3/cmd/helm",
      linked: `-X helm.sh/helm/v3/internal/version.version=v${HELM_VERSION}`,
    },
    report,
  );

/** The command that holds manifests against the schemas of Kubernetes. */
export const installKubeconform = (report: Report = reportToStderr): Promise<string> => {
  const command = "github.com/yannh/kubeconform/cmd/kubeconform";
  return installModule({ name: "kubeconform", version: KUBECONFORM_VERSION, command }, report);
};

/** The command that runs CoreDNS. */
export async function installDns(report: Report = reportToStderr): Promise<string> {
  const what = `CoreDNS ${DNS_VERSION}`;
  const folder = await cached(`coredns-${DNS_VERSION}`, what, report, async (into) => {
    await buildable(what);
    await goTool(["build", "-ldflags=-s -w", "-o", path.join(into, "coredns"), "."], {}, "dns");
  });
  return path.join(folder, "coredns");
}

async function installPrograms<Name extends Program>(
  name: string,
  programs: readonly Name[],
  report: Report,
): Promise<Programs<Name>> {
  const what = `Kubernetes ${KUBERNETES_VERSION} (${programs.join(", ")})`;
  const build = async (into: string) => {
    await buildable(what);
    for (const program of programs) {
      report(`building ${program} …`);
      await goTool(["build", `-ldflags=${LINKED}`, "-o", `${into}/`, `k8s.io/kubernetes/cmd/${program}`]);
    }
  };
  const folder = await cached(`${name}-${KUBERNETES_VERSION}`, what, report, build);
  const places = programs.map((program) => [program, path.join(folder, program)]);
  return Object.fromEntries(places) as Programs<Name>;
}

interface ModuleProgram {
  readonly name: string;
  readonly version: string;
  readonly command: string;
  /** What the release's own build writes into it. */
  readonly linked?: string;
}

async function installModule(program: ModuleProgram, report: Report): Promise<string> {
  const { name, version, command, linked = "" } = program;
  const what = `${name} ${version}`;
  const folder = await cached(`${name}-${version}`, what, report, async (into) => {
    await buildable(what);
    await goTool(["install", `-ldflags=-s -w ${linked}`, `${command}@v${version}`], { GOBIN: into });
  });
  return path.join(folder, name);
}

/** What the release's own build writes into each program: clients ask for it. */
const LINKED = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
  .flatMap((at) => [
    `-X ${at}.gitVersion=v${KUBERNETES_VERSION}`,
    `-X ${at}.gitMajor=${KUBERNETES_VERSION.split(".")[0]!}`,
    `-X ${at}.gitMinor=${KUBERNETES_VERSION.split(".")[1]!}`,
  ])
  .concat("-s -w")
  .join(" ");

async function buildable(what: string): Promise<void> {
  const lacking = await kubernetesLacks();
  if (lacking !== undefined) throw new Error(`${what} cannot be installed: ${lacking}`);
}

/** With good manners: a long build gives way to whatever else the machine does. */
export async function goTool(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  module = ".",
): Promise<void> {
  const settings = { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-buildvcs=false", ...env };
  await runCommand("nice", ["-n", "19", "go", ...args], { cwd: path.join(TOOLS, module), env: settings });
}
