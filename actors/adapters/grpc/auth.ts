/** Who calls: the key in the call's metadata, `authorization: Bearer KEY`. */
import { AdtallyError, isAdtallyError } from "../../core/errors.ts";
import { advertisersOf, permits } from "../../keys/api-key.ts";
import { bearerOf } from "../../keys/authenticate.ts";
import type { Metadata } from "@grpc/grpc-js";
import type { Audit } from "../../keys/audit.ts";
import type { KeyLimits } from "../../keys/key-limits.ts";
import type { Authenticate } from "../../keys/authenticate.ts";
import type { Advertisers, Principal, Scope } from "../../ports/key-store.ts";

/** What a service needs to know its callers. */
export interface Callers {
  readonly authenticate: Authenticate;
  readonly keyLimits?: KeyLimits | undefined;
  readonly audit?: Pick<Audit, "note"> | undefined;
}

/**
 * The caller of `method` (its full name), who may, and has not called too often. A refusal is told
 * to the audit log. @throws UNAUTHENTICATED, PERMISSION_DENIED, RATE_LIMITED
 */
export async function admit(
  metadata: Metadata,
  { authenticate, keyLimits, audit }: Callers,
  scope: Scope,
  method: string,
): Promise<Principal> {
  let caller: Principal | undefined;
  try {
    caller = callerOf(metadata, authenticate);
    const admitted = assertPermits(caller, scope);
    await keyLimits?.take(admitted.keyId, scope);
    return admitted;
  } catch (error) {
    noteRefusal(audit, caller, method, error);
    throw error;
  }
}

/**
 * Lets who may read pass, and says whose advertisers' things they are shown; where reports are open,
 * who has no key sees all, as over HTTP. @throws as `admit`
 */
export function authoriseReads(
  callers: Callers,
  method: string,
  isOpen: boolean,
): (metadata: Metadata) => Promise<{ readonly advertisers: Advertisers }> {
  return async (metadata) => {
    if (isOpen && metadata.get("authorization").length === 0) return { advertisers: "all" };
    return { advertisers: advertisersOf(await admit(metadata, callers, "read", method)) };
  };
}

export function noteRefusal(
  audit: Pick<Audit, "note"> | undefined,
  caller: Principal | undefined,
  method: string,
  error: unknown,
): void {
  audit?.note({
    keyId: caller?.keyId,
    keyName: caller?.name,
    method: "GRPC",
    route: method,
    path: method,
    status: isAdtallyError(error) ? error.code : "INTERNAL",
    outcome: "refused",
  });
}

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
export function assertScope(metadata: Metadata, authenticate: Authenticate, scope: Scope): Principal {
  return assertPermits(callerOf(metadata, authenticate), scope);
}

function assertPermits(caller: Principal | undefined, scope: Scope): Principal {
  if (caller === undefined) {
    throw new AdtallyError(
      "UNAUTHENTICATED",
      `this call needs a key of scope "${scope}": authorization: Bearer KEY`,
    );
  }
  if (permits(caller, scope)) return caller;
  throw new AdtallyError("PERMISSION_DENIED", `key ${caller.keyId} has no scope "${scope}"`);
}
