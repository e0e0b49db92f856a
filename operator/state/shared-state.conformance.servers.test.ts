/** The state's ConfigMap as every SharedState has to be, on a real API server, behind a proxy that fails. */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeSharedState } from "../../actors/ports/shared-state.conformance.ts";
import { startApiServer, type ApiServer } from "../../testing/kubernetes/api-server.ts";
import { startTcpProxy, type TcpProxy } from "../../testing/tcp-proxy.ts";
import type { KubeClient } from "../kube/client.ts";
import { clientOf, INSTALL_MS, lacks, reflectorDeps } from "../real-server.fixture.ts";
import { changeDocument } from "./config-map.ts";
import { createConfigMapSharedState } from "./shared-state.ts";

const KEY = "document.json";
/** Of one request; a replacement takes two. */
const DEADLINE_MS = 2_000;

describe.skipIf(lacks !== undefined)("the state on a real API server", () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), "adtally-state-"));
  let server: ApiServer;
  let proxy: TcpProxy;
  let documents = 0;
  beforeAll(async () => {
    server = await startApiServer({ dir });
    proxy = await startTcpProxy({ targetPort: Number(new URL(server.url).port) });
  }, INSTALL_MS);
  afterAll(async () => {
    await proxy?.close();
    await server?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const placeOf = (client: KubeClient, name: string) => ({ client, namespace: "default", name });

  describeSharedState("A ConfigMap", {
    hooks: ["cut", "heal"],
    deadlineMs: 2 * DEADLINE_MS,
    soonMs: 15_000,
    runs: 3,
    make() {
      const name = `document-${(documents += 1)}`;
      const opened: { close(): Promise<void> }[] = [];
      return Promise.resolve({
        open() {
          const client = clientOf(server.kubeconfig, { port: proxy.port });
          const deps = { ...reflectorDeps(client), place: placeOf(client, name), key: KEY };
          const state = createConfigMapSharedState(deps);
          opened.push({
            async close() {
              await state.close();
              await client.close();
            },
          });
          return state;
        },
        cut: async () => proxy.refuse(),
        heal: async () => proxy.heal(),
        async close() {
          proxy.heal();
          await Promise.all(opened.map((each) => each.close()));
        },
      });
    },
  });

  describe("S2: a leader never writes over what a later one wrote", () => {
    const term = (epoch: number) => ({ epoch, assertHeld: () => undefined });

    it("refuses an epoch below the one that stands, whatever its version, and takes an equal one", async () => {
      const client = clientOf(server.kubeconfig);
      const place = placeOf(client, "fenced");
      await changeDocument(place, KEY, () => "of the first", term(3));
      await changeDocument(place, KEY, () => "of the second", term(4));
      const late = changeDocument(place, KEY, () => "late", term(3));
      await expect(late).rejects.toMatchObject({ code: "NOT_LEADER" });
      const written = await changeDocument(place, "other.json", () => "again", term(4));
      expect(written?.data).toEqual({ [KEY]: "of the second", "other.json": "again" });
      await client.close();
    });

    it("lets two who write two keys at once both have their way", async () => {
      const client = clientOf(server.kubeconfig);
      const place = placeOf(client, "two-keys");
      const keys = ["a.json", "b.json", "c.json"];
      await Promise.all(keys.map((key) => changeDocument(place, key, () => key, term(1))));
      const last = await changeDocument(place, "d.json", () => "d", term(1));
      expect(last?.data).toEqual({
        "a.json": "a.json",
        "b.json": "b.json",
        "c.json": "c.json",
        "d.json": "d",
      });
      await client.close();
    });
  });
});
