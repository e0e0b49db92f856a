import { describe, expect, it } from "vitest";
import { systemClock } from "../../actors/runtime/clock.ts";
import { allowedCores, measureProcess } from "./process-load.ts";

const cores = (files: Record<string, string>) => allowedCores((file) => files[file]);

describe("the CPU that a process may use", () => {
  it("M1: a container's own limit", () => {
    expect(cores({ "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "150000 100000\n" })).toBe(1.5);
  });

  it("M1: the narrowest of a group and those around it", () => {
    const files = {
      "/proc/self/cgroup": "0::/kubepods/pod1/adtally\n",
      "/sys/fs/cgroup/kubepods/pod1/adtally/cpu.max": "max 100000\n",
      "/sys/fs/cgroup/kubepods/pod1/cpu.max": "50000 100000\n",
      "/sys/fs/cgroup/kubepods/cpu.max": "200000 100000\n",
    };
    expect(cores(files)).toBe(0.5);
  });

  it("M1: the first version of control groups", () => {
    const files = {
      "/proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/docker/1\n0::/\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    };
    expect(cores(files)).toBe(2);
  });

  it("M1: none where none is set", () => {
    expect(
      cores({ "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "max 100000\n" }),
    ).toBeUndefined();
    const none = {
      "/proc/self/cgroup": "1:cpu:/\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    };
    expect(cores(none)).toBeUndefined();
    expect(cores({})).toBeUndefined();
  });

  it("is told of this process, with its memory", () => {
    const load = measureProcess(systemClock, 10_000);
    const until = performance.now() + 30;
    while (performance.now() < until);
    expect(load.cpuPercent()).toBeGreaterThan(0);
    const { residentBytes, limitBytes } = load.memory();
    expect(residentBytes).toBeGreaterThan(1_000_000);
    expect(limitBytes).toBeGreaterThan(residentBytes);
    load.close();
  });
});
