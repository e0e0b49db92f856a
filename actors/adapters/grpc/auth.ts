/** Who calls: the key in the call's metadata, `authorization: Bearer KEY`. */
import { AdtallyError } from "../../core/errors.ts";
import { permits } from "../../keys/api-key.ts";
import { bearerOf } from "../../keys/authenticate.ts";
import type { Metadata } from "@grpc/grpc-js";
import type { Authenticate } from "../../keys/authenticate.ts";
import type { Principal, Scope } from "../../ports/key-store.ts";

/**
 * The caller, or undefined when the call carries no key.
 * @throws UNAUTHENTICATED for a key that is not known: a mistake that must not pass in silence
 */
export function callerOf(metadata: Metadata, authenticate: Authenticate): Principal | undefined {
  const header = metadata.get("authorization")[0];
  if (header === undefined) return undefined;
  const principal = authenticate(bearerOf(String(header)));
  if (principal !== undefined) return principal;
  throw new AdtallyError(
    "UNAUTHENTICATED",
    'metadata authorization: want "Bearer KEY" with a key that is known here',
  );
}

/** @throws UNAUTHENTICATED, PERMISSION_DENIED */
export function assertScope(metadata: Metadata, authenticate: Authenticate, scope: Scope): void {
  const caller = callerOf(metadata, authenticate);
  if (caller === undefined) {
    throw new AdtallyError(
      "UNAUTHENTICATED",
      `this call needs a key of scope "${scope}": authorization: Bearer KEY`,
    );
  }
  if (!permits(caller, scope)) {
    throw new AdtallyError("PERMISSION_DENIED", `key ${caller.keyId} has no scope "${scope}"`);
  }
}
