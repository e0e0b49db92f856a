/** A gateway that has been told that its clock is wrong, on real sockets. */
import { expect, it } from "vitest";
import { Verdict } from "../../actors/core/verdict.ts";
import { createGrpcClicks } from "../../loadtest/lib/grpc-client.ts";
import { DESTINATION, openGateway } from "./gateway-fixture.ts";

it("fault 15: a gateway whose clock is wrong redirects its browsers, counts none of them, and tells SDKs to go elsewhere", async () => {
  const gateway = await openGateway();
  const click = async () => {
    const url = `http://127.0.0.1:${gateway.httpPort}/click?i=${gateway.impression().tokenText}`;
    const { status, headers } = await fetch(url, { redirect: "manual" });
    return [status, headers.get("location")];
  };
  const grpc = createGrpcClicks(`127.0.0.1:${gateway.grpcPort}`, undefined);
  gateway.tellClockOff(true);
  expect(await click()).toEqual([302, DESTINATION]);
  expect(await grpc.submitClick({ token: gateway.impression().token })).toBe(Verdict.REFUSED);
  expect(gateway.rowCount()).toBe(0);

  gateway.tellClockOff(false);
  expect(await click()).toEqual([302, DESTINATION]);
  expect(await grpc.submitClick({ token: gateway.impression().token })).toBe(Verdict.ACCEPTED);
  expect(gateway.accepted()).toBe(2);
  grpc.close();
  await gateway.drain();
});
