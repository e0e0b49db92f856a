/** Who calls: the key in the call's metadata, `authorization: Bearer KEY`. */
import { AdtallyError } from "../../core/errors.ts";
import type { Metadata } from "@grpc/grpc-js";

export interface Principal {
  readonly scopes: ReadonlySet<string>;
}

/** The holder of a key, or undefined for a key that is unknown. */
export type Authenticate = (bearer: string) => Principal | undefined;

/**
 * The caller, or undefined when the call carries no key.
 * @throws UNAUTHENTICATED for a key that is not known: a mistake that must not pass in silence
 */
export function callerOf(metadata: Metadata, authenticate: Authenticate): Principal | undefined {
  const header = metadata.get("authorization")[0];
  if (header === undefined) return undefined;
  const bearer = /^Bearer ([\x21-\x7e]+)$/i.exec(String(header))?.[1];
  const principal = bearer === undefined ? undefined : authenticate(bearer);
  if (principal !== undefined) return principal;
  throw new AdtallyError(
    "UNAUTHENTICATED",
    'metadata authorization: want "Bearer KEY" with a key that is known here',
  );
}
