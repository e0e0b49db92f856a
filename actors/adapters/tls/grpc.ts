/**
 * TLS of gRPC from certificates that renew. grpc-js takes a provider of certificates (its
 * `experimental` part) on both sides; its own that watches files hands on what it cannot use
 * and drops what it had, so ours (certificates.ts) stands in its place.
 */
import { experimental, ServerInterceptingCall, status as Status } from "@grpc/grpc-js";
import { peerFault } from "./names.ts";
import type { ChannelCredentials, ServerCredentials, ServerInterceptor } from "@grpc/grpc-js";
import type { Certificates } from "./certificates.ts";
import type { Material, ServerFiles } from "./material.ts";
import type { Program } from "./names.ts";

type Provider = experimental.CertificateProvider;

/** Programs of ours that may call: all services of a server alike, or each by its name ("HostService"). */
export type Callers = readonly Program[] | Readonly<Record<string, readonly Program[]>>;

/** `callers`: each by its certificate; or anyone, without one, where the public is served. */
export function grpcServerCredentials(
  certificates: Certificates<ServerFiles>,
  callers: "anyone",
): ServerCredentials;
export function grpcServerCredentials(
  certificates: Certificates,
  callers: Callers | "anyone",
): ServerCredentials;
export function grpcServerCredentials(
  certificates: Certificates<ServerFiles>,
  callers: Callers | "anyone",
): ServerCredentials {
  const provider = providerOf(certificates);
  if (callers === "anyone") {
    // Own certificate first: the parameters' names in grpc-js 1.14 stand the other way round.
    return experimental.createCertificateProviderServerCredentials(provider, null, false);
  }
  const credentials = experimental.createCertificateProviderServerCredentials(provider, provider, true);
  return experimental.createServerCredentialsWithInterceptors(credentials, [callersOnly(callers)]);
}

/** Towards one of our own programs. */
export function grpcClientCredentials(
  certificates: Certificates,
  peers: readonly Program[],
): ChannelCredentials {
  const provider = providerOf(certificates);
  return experimental.createCertificateProviderChannelCredentials(provider, provider, {
    checkServerIdentity: (_host, peer) => {
      const fault = peerFault(peer, peers);
      return fault === undefined ? undefined : new Error(fault);
    },
  });
}

/** A certificate of our authority is not enough: a query service has no business with a shard. */
function callersOnly(callers: Callers): ServerInterceptor {
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        const allowed = callersOf(callers, method.path);
        const details = peerFault(call.getAuthContext().sslPeerCertificate, allowed);
        if (details === undefined) return next();
        // The call's metadata is not passed on, so no handler ever sees it.
        next({ onReceiveMetadata: () => call.sendStatus({ code: Status.PERMISSION_DENIED, details }) });
      },
    });
}

/** Of "/adtally.v1.HostService/Report"; health and reflection are for whoever may call anything. */
function callersOf(callers: Callers, path: string): readonly Program[] {
  if (!isByService(callers)) return callers;
  const service = path.split("/")[1]?.split(".").at(-1) ?? "";
  return callers[service] ?? Object.values(callers).flat();
}

const isByService = (callers: Callers): callers is Readonly<Record<string, readonly Program[]>> =>
  !Array.isArray(callers);

function providerOf(certificates: Certificates<ServerFiles>): Provider {
  const ends = new Map<unknown, () => void>();
  function add<Update>(
    listener: (update: Update) => void,
    updateOf: (material: Material<ServerFiles>) => Update,
  ): void {
    let isAdded = true;
    const end = certificates.subscribe((material) => listener(updateOf(material)));
    ends.set(listener, () => {
      isAdded = false;
      end();
    });
    // grpc-js is ready for the first one only after this call.
    queueMicrotask(() => isAdded && listener(updateOf(certificates.current)));
  }
  function remove(listener: unknown): void {
    ends.get(listener)?.();
    ends.delete(listener);
  }
  return {
    addCaCertificateListener: (listener) =>
      add(listener, ({ ca }) => (ca === undefined ? null : { caCertificate: ca })),
    addIdentityCertificateListener: (listener) =>
      add(listener, ({ cert, key }) => ({ certificate: cert, privateKey: key })),
    removeCaCertificateListener: remove,
    removeIdentityCertificateListener: remove,
  };
}
