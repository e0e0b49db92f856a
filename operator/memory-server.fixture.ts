/** An API server in memory, as far as the operator's loops need one: versions, lists, watches, conflicts. */
import { AdtallyError } from "../actors/core/errors.ts";
import type { KubeClient, KubeRequest, Method } from "./kube/client.ts";
import type { KubeObject, Metadata } from "./kube/object.ts";

export interface Sent {
  readonly method: Method;
  readonly path: string;
  readonly request: KubeRequest;
}

export interface MemoryServer {
  readonly client: KubeClient;
  /** All that was sent, but for what only reads. */
  readonly writes: readonly Sent[];
  /** By path. */
  readonly objects: ReadonlyMap<string, KubeObject>;
  /** Whether a write is refused as a conflict. */
  refuses(sent: Sent): boolean;
  put(path: string, object: KubeObject): void;
}

/** Objects of namespace and name alone: …/namespaces/NAMESPACE/PLURAL/NAME[/status]. */
export function memoryServer(): MemoryServer {
  const objects = new Map<string, KubeObject & { readonly spec?: object }>();
  const watches = new Map<string, Set<(line: string) => void>>();
  const writes: Sent[] = [];
  let version = 0;

  function put(path: string, object: KubeObject & { readonly spec?: object }): KubeObject {
    version += 1;
    const before = objects.get(path);
    const isNewSpec = JSON.stringify(before?.spec) !== JSON.stringify(object.spec);
    const metadata: Metadata = {
      uid: `uid-${version}`,
      creationTimestamp: "2026-11-22T00:00:00Z",
      ...object.metadata,
      generation: (before?.metadata.generation ?? 0) + (isNewSpec ? 1 : 0),
      resourceVersion: String(version),
    };
    const stored = { ...object, metadata };
    objects.set(path, stored);
    const type = before === undefined ? "ADDED" : "MODIFIED";
    const list = path.slice(0, path.lastIndexOf("/"));
    for (const onLine of watches.get(list) ?? []) onLine(JSON.stringify({ type, object: stored }));
    return stored;
  }

  function read(path: string): object {
    if (path.split("/namespaces/")[1]!.split("/").length > 2) {
      const found = objects.get(path);
      if (found === undefined) throw new AdtallyError("NOT_FOUND", path);
      return found;
    }
    const items = [...objects].filter(([each]) => each.slice(0, each.lastIndexOf("/")) === path);
    return { metadata: { resourceVersion: String(version) }, items: items.map(([, object]) => object) };
  }

  function write(sent: Sent): object {
    writes.push(sent);
    const { method, request } = sent;
    const body = request.body as KubeObject & { readonly spec?: object };
    const path =
      method === "POST" ? `${sent.path}/${body.metadata.name}` : sent.path.replace(/\/status$/, "");
    const before = objects.get(path);
    const { resourceVersion } = body.metadata;
    const isStale = resourceVersion !== undefined && resourceVersion !== before?.metadata.resourceVersion;
    if (isStale || server.refuses(sent)) throw new AdtallyError("KUBERNETES_CONFLICT", `409 ${path}`);
    const metadata = { ...before?.metadata, ...body.metadata };
    if (method === "PATCH")
      return put(path, { ...before, ...body, metadata, spec: { ...before?.spec, ...body.spec } });
    return put(path, { ...body, metadata });
  }

  const server: MemoryServer & { client: KubeClient } = {
    writes,
    objects,
    refuses: () => false,
    put: (path, object) => void put(path, object),
    client: {
      send: <T>(method: Method, path: string, request: KubeRequest = {}) =>
        new Promise<T>((resolve) =>
          resolve((method === "GET" ? read(path) : write({ method, path, request })) as T),
        ),
      stream: (path, _query, signal, onLine) =>
        new Promise((resolve) => {
          const lines = watches.get(path) ?? new Set();
          watches.set(path, lines.add(onLine));
          signal.addEventListener("abort", () => {
            lines.delete(onLine);
            resolve();
          });
        }),
      close: () => Promise.resolve(),
    },
  };
  return server;
}
