/**
 * Who calls, and may they: `Authorization: Bearer KEY` → principal → scope. Runs before the body
 * is read, so that a caller without a key costs nothing.
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { permits } from "../../keys/api-key.ts";
import { bearerOf, type Authenticate } from "../../keys/authenticate.ts";
import type { Principal, Scope } from "../../ports/key-store.ts";
import { HttpProblem } from "./problem.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Set once a route's `requireScope` has passed. */
    principal: Principal | null;
  }
}

/** A hook for a route's `onRequest`. */
export type RequireScope = (scope: Scope) => (request: FastifyRequest) => Promise<void>;

export interface AuthDeps {
  readonly authenticate: Authenticate;
  /** What a caller without any key may do: nothing, unless the program says otherwise. */
  readonly anonymousScopes?: readonly Scope[];
}

export function createRequireScope(app: FastifyInstance, deps: AuthDeps): RequireScope {
  app.decorateRequest("principal", null);
  const anonymous: Principal = { keyId: "", name: "anonymous", scopes: deps.anonymousScopes ?? [] };

  return (scope) => async (request) => {
    const header = request.headers.authorization;
    if (header === undefined && permits(anonymous, scope)) {
      request.principal = anonymous;
      return;
    }
    const principal = deps.authenticate(bearerOf(header));
    if (principal === undefined) {
      throw new HttpProblem(
        401,
        "UNAUTHENTICATED",
        header === undefined
          ? `this needs an API key of scope "${scope}": send it as "Authorization: Bearer KEY"`
          : 'the API key is not known; send it as "Authorization: Bearer KEY"',
        {
          headers: {
            "www-authenticate": `Bearer realm="adtally"${header === undefined ? "" : ', error="invalid_token"'}`,
          },
        },
      );
    }
    if (!permits(principal, scope)) {
      throw new HttpProblem(
        403,
        "PERMISSION_DENIED",
        `the API key "${principal.name}" lacks the scope "${scope}"`,
        {
          headers: {
            "www-authenticate": `Bearer realm="adtally", error="insufficient_scope", scope="${scope}"`,
          },
        },
      );
    }
    request.principal = principal;
  };
}
