#!/bin/sh
# The first process of a node's namespaces (node.ts starts it by unshare: mounts, network, host
# name, cgroups, processes). It makes of them what a kubelet takes for a machine of its own, says
# READY with its number outside, and reaps what is left to it until it is killed; with it all that runs here ends.
#
#   $1  a folder of the node's own, on a disk that overlayfs can write to
#   $2  Debian's packages, unpacked: containerd, runc, CNI plugins, iptables, conntrack
#   $3  the node's name
#
# Nothing of it reaches the machine: mounts are private, the network and cgroups are the node's
# own, and of the sysctls that a kubelet sets for the whole machine it is given copies to write.
set -eu
state=$1 packages=$2 name=$3

fail() {
  echo "LACKS $1" >&2
  exit 1
}

read -r pid _ </proc/self/stat
hostname "$name"
mount --make-rprivate / || fail "private mounts (mount --make-rprivate /)"
mount -t proc proc /proc || fail "a proc file system of its own"
mount -t sysfs sysfs /sys || fail "a sysfs of its own"

# Seen from here, the cgroups that the node was started in are the roots.
if [ -e "$state/cgroup-v2" ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup || fail "a cgroup2 mount"
  # Controllers are handed down only by a cgroup that has no processes itself.
  mkdir -p /sys/fs/cgroup/init
  for pid in $(cat /sys/fs/cgroup/cgroup.procs); do
    echo "$pid" >/sys/fs/cgroup/init/cgroup.procs 2>/dev/null || true
  done
  for controller in cpu cpuset memory pids io; do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || fail "the cgroup controller $controller"
  done
else
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
    mkdir "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" ||
      fail "the cgroup v1 controller $controller"
  done
  mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
  mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd || fail "the cgroup hierarchy name=systemd"
  mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified || fail "a cgroup2 mount"
fi

# A kubelet writes these for the whole machine.
mkdir -p "$state/sysctl"
for sysctl in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
  kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  [ -e "/proc/sys/$sysctl" ] || continue
  copy="$state/sysctl/$(echo "$sysctl" | tr / .)"
  cat "/proc/sys/$sysctl" >"$copy"
  mount --bind "$copy" "/proc/sys/$sysctl"
done

# What the machine has stays; what it lacks comes from the packages.
mount -t overlay -o "lowerdir=/usr:$packages/usr" overlay /usr || fail "the file system overlay"
mkdir -p "$state/etc" "$state/etc-work"
mount -t overlay -o "lowerdir=/etc,upperdir=$state/etc,workdir=$state/etc-work" overlay /etc
echo "nameserver 127.0.0.1" >"$state/resolv.conf"
for folder in /var/lib /var/log; do
  mkdir -p "$state$folder"
  mount --bind "$state$folder" "$folder"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
mount --make-rshared /

# Whichever iptables the kernel answers to takes the name that kubelet, kube-proxy and CNI call.
mkdir -p "$state/bin"
rm -f "$state"/bin/*
for tables in iptables-nft iptables-legacy iptables ""; do
  [ -n "$tables" ] || fail "iptables with NAT (CONFIG_NFT_NAT, or CONFIG_IP_NF_NAT)"
  if "$tables" -t nat -N PROBE 2>/dev/null && "$tables" -t nat -X PROBE; then break; fi
done
case $tables in
iptables-*)
  for each in "" -save -restore; do
    for family in iptables ip6tables; do
      ln -s "$(command -v "$family-${tables#iptables-}$each")" "$state/bin/$family$each"
    done
  done
  ;;
esac

ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward || fail "net.ipv4.ip_forward in a network of its own"
# By its number outside: only there can a network device be handed in.
echo "READY $pid"

# The shell is process 1 here: waiting reaps the orphans of all.
while :; do
  sleep 1 &
  wait "$!" || true
done
