import { expect, test } from "vitest";
import { AdtallyError } from "../../actors/core/errors.ts";
import { virtualClock } from "../../actors/sim/virtual-clock.ts";
import type { KubeClient } from "../../operator/kube/client.ts";
import type { LeaseSpec } from "../../operator/lead/lease.ts";
import { forgetLease } from "./lease.ts";

/** One Lease, which an operator renews every `renewEveryMs`, if at all, for as long as it runs. */
async function forgotten(spec: LeaseSpec | undefined, renewEveryMs = 0, runsMs = Infinity) {
  const clock = virtualClock(1_000_000);
  const beganMs = clock.monotonic();
  let there = spec !== undefined;
  const client: KubeClient = {
    send: async <T>(method: string, _path: string, request: { readonly body?: object } = {}) => {
      if (!there) throw new AdtallyError("NOT_FOUND", "no Lease");
      const ranMs = Math.min(clock.monotonic() - beganMs, runsMs);
      const resourceVersion = String(renewEveryMs === 0 ? 0 : Math.floor(ranMs / renewEveryMs));
      if (method === "GET") return { metadata: { name: "it", uid: "u", resourceVersion }, spec } as T;
      expect(request.body).toEqual({ preconditions: { uid: "u", resourceVersion } });
      there = false;
      return {} as T;
    },
    stream: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const forgetting = forgetLease({ client, clock, namespace: "ads", name: "it", deadlineMs: 45_000 });
  await clock.advance(60_000);
  return { said: await forgetting, there };
}
const held: LeaseSpec = { holderIdentity: "adtally-operator-1", leaseDurationSeconds: 15 };

test("a Lease that was let go is deleted, and so is one that nobody renews for its duration", async () => {
  expect(await forgotten({ ...held, holderIdentity: "" })).toEqual({
    said: "Lease ads/it: deleted",
    there: false,
  });
  expect((await forgotten(held)).there).toBe(false);
  expect((await forgotten(held, 2_000, 10_000)).there).toBe(false);
});

test("F1: a Lease that another operator goes on renewing stays", async () => {
  const { said, there } = await forgotten(held, 2_000);
  expect(said).toBe("Lease ads/it: stays, adtally-operator-1 holds it");
  expect(there).toBe(true);
});

test("a Lease that is not there is no trouble", async () => {
  expect((await forgotten(undefined)).said).toBe("Lease ads/it: is not there");
});
