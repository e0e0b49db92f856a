import { describe, expect, test } from "vitest";
import { COMPONENT_LABEL } from "../render/manifest.ts";
import type { PodObject } from "./caches.ts";
import { actorHostOf, addressOf, hasServed } from "./pods.ts";

const condition = (type: string, isTrue: boolean) => ({ type, status: isTrue ? "True" : "False" });
const podOf = (status: PodObject["status"], metadata: object = {}): PodObject => ({
  metadata: { name: "clicks-actors-0", uid: "u", labels: { [COMPONENT_LABEL]: "actors" }, ...metadata },
  ...(status !== undefined && { status }),
});
const started = [{ started: true, state: { running: {} } }];
const running = {
  phase: "Running",
  podIP: "10.0.0.7",
  containerStatuses: started,
  conditions: [condition("Ready", true), condition("ContainersReady", true)],
};

describe("a host is up", () => {
  test.each([
    ["as soon as it has started, ready or not", running, true],
    [
      "while it acquires shards, and is not ready",
      { ...running, conditions: [condition("Ready", false), condition("ContainersReady", false)] },
      true,
    ],
    [
      "not on a node that has gone silent: its pods are called not ready, their containers never were",
      { ...running, conditions: [condition("Ready", false), condition("ContainersReady", true)] },
      false,
    ],
    [
      "not before it has started",
      { ...running, containerStatuses: [{ ...started[0], started: false }] },
      false,
    ],
    ["not while its program is restarted", { ...running, containerStatuses: [{ started: true }] }, false],
    ["not without an address", { ...running, podIP: "" }, false],
    ["not while it waits for a node", { phase: "Pending" }, false],
    ["not before anything is known of it", undefined, false],
  ])("%s", (_, status, isUp) => {
    expect(actorHostOf(podOf(status)).isUp).toBe(isUp);
  });
});

test("a host that ends is said to, and is reached by its address, of either family", () => {
  const ending = podOf(running, { deletionTimestamp: "2026-11-22T00:00:00Z" });
  expect(actorHostOf(ending)).toMatchObject({ uid: "u", address: "10.0.0.7:7070", isEnding: true });
  expect(addressOf(podOf({ ...running, podIP: "fd00::7" }), "gateways")).toBe("[fd00::7]:9091");
});

test("a gateway that never had an address has no click; one that crashed may have", () => {
  expect(hasServed(podOf({ phase: "Pending" }))).toBe(false);
  expect(hasServed(podOf({ ...running, containerStatuses: [] }))).toBe(true);
});
