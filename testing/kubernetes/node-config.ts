/** The configuration of a node's programs: what a machine shared with others needs otherwise than usual. */
import path from "node:path";
import { stringify } from "yaml";

export const CLUSTER_DOMAIN = "cluster.local";
export const CONTAINERD_SOCKET = "/run/containerd/containerd.sock";

/** In TOML. */
export const containerdConfig = (pauseImage: string, networkFolder: string): string => `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "${CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  # Without CAP_SYS_RESOURCE no process may be made less likely to be killed for memory.
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${networkFolder}"
`;

/** Each pod has a device pair of its own and no bridge: replies pass through the node's NAT whatever the kernel's br_netfilter does. */
export const networkConfig = (pods: string): string =>
  JSON.stringify({
    cniVersion: "0.4.0",
    name: "adtally-test",
    plugins: [
      {
        type: "ptp",
        ipMasq: true,
        ipam: { type: "host-local", subnet: pods, routes: [{ dst: "0.0.0.0/0" }] },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  });

export const kubeletConfig = (state: string, authority: string, dns: string): string =>
  stringify({
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: authority },
    },
    authorization: { mode: "Webhook" },
    containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
    cgroupDriver: "cgroupfs",
    failSwapOn: false,
    maxOpenFiles: 20_000,
    clusterDNS: [dns],
    clusterDomain: CLUSTER_DOMAIN,
    resolvConf: path.join(state, "resolv.conf"),
    // The disk and the memory are everybody's: a node for tests does not tidy up for them.
    evictionHard: { "memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    nodeStatusUpdateFrequency: "4s",
  });

export const proxyConfig = (kubeconfig: string, name: string, pods: string): string =>
  stringify({
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode: "iptables",
    clientConnection: { kubeconfig },
    hostnameOverride: name,
    clusterCIDR: pods,
    // These are sysctls of the whole machine.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
    iptables: { minSyncPeriod: "0s" },
  });

/** Names of the cluster alone: what else is asked for is refused, since pods reach nothing beyond. */
export const dnsConfig = (address: string, kubeconfig: string, readyAddress: string): string =>
  `${CLUSTER_DOMAIN}:53 {
  bind ${address}
  ready ${readyAddress}
  errors
  kubernetes ${CLUSTER_DOMAIN} {
    kubeconfig ${kubeconfig}
    ttl 1
  }
}
`;
