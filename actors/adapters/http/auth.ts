/**
 * Who calls, and may they: `Authorization: Bearer KEY` → principal → scope → allowance. Runs before
 * the body is read, so that a caller without a key costs nothing.
 *
 * Invariants
 *  E1 A key that was sent governs, also where callers without one may do as much or more: one that is
 *     not known is refused, never taken for none.
 *  E2 What was refused, and each change that was made with a key of scope admin or read, is told to
 *     the audit log.
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { advertisersOf, permits } from "../../keys/api-key.ts";
import type { Audit } from "../../keys/audit.ts";
import { bearerOf, type Authenticate } from "../../keys/authenticate.ts";
import type { KeyLimits } from "../../keys/key-limits.ts";
import type { Advertisers, Principal, Scope } from "../../ports/key-store.ts";
import { HttpProblem } from "./problem.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Set once a route's `requireScope` has passed. */
    principal: Principal | null;
    /** Whose key it is, passed or not; and what was asked of it. */
    caller: { readonly principal: Principal | null; readonly scope: Scope } | null;
  }
}

/** A hook for a route's `onRequest`; of several scopes any one will do, the first is asked for. */
export type RequireScope = (
  scope: Scope,
  ...others: readonly Scope[]
) => (request: FastifyRequest) => Promise<void>;

export interface AuthDeps {
  readonly authenticate: Authenticate;
  /** What a caller without any key may do: nothing, unless the program says otherwise. */
  readonly anonymousScopes?: readonly Scope[];
  readonly keyLimits?: KeyLimits;
  readonly audit?: Pick<Audit, "note">;
}

export function createRequireScope(app: FastifyInstance, deps: AuthDeps): RequireScope {
  app.decorateRequest("principal", null);
  app.decorateRequest("caller", null);
  const anonymous: Principal = {
    keyId: "",
    name: "anonymous",
    scopes: deps.anonymousScopes ?? [],
    advertisers: "all",
  };
  if (deps.audit !== undefined) noteInAudit(app, deps.audit);

  return (...scopes) =>
    async (request) => {
      const [asked] = scopes;
      const header = request.headers.authorization;
      if (header === undefined && scopes.some((scope) => permits(anonymous, scope))) {
        request.principal = anonymous;
        return;
      }
      const principal = deps.authenticate(bearerOf(header));
      request.caller = { principal: principal ?? null, scope: asked };
      if (principal === undefined) throw unauthenticated(asked, header !== undefined);
      const used = scopes.find((scope) => permits(principal, scope));
      if (used === undefined) throw denied(principal, scopes);
      await deps.keyLimits?.take(principal.keyId, used);
      request.principal = principal;
    };
}

/** What the caller of a request that `requireScope` let pass may see. */
export function accessOf(request: FastifyRequest): { readonly advertisers: Advertisers } {
  return { advertisers: request.principal === null ? new Set() : advertisersOf(request.principal) };
}

/** Lets who may read pass, and says whose advertisers' things they are shown. */
export function authoriseReads(
  requireScope: RequireScope,
): (request: FastifyRequest) => Promise<{ readonly advertisers: Advertisers }> {
  const pass = requireScope("read");
  return async (request) => {
    await pass(request);
    return accessOf(request);
  };
}

function unauthenticated(scope: Scope, sentOne: boolean): HttpProblem {
  return new HttpProblem(
    401,
    "UNAUTHENTICATED",
    sentOne
      ? 'the API key is not known, or no longer; send it as "Authorization: Bearer KEY"'
      : `this needs an API key of scope "${scope}": send it as "Authorization: Bearer KEY"`,
    {
      headers: { "www-authenticate": `Bearer realm="adtally"${sentOne ? ', error="invalid_token"' : ""}` },
    },
  );
}

function denied(principal: Principal, scopes: readonly Scope[]): HttpProblem {
  const wanted = scopes.map((scope) => `"${scope}"`).join(" or ");
  return new HttpProblem(
    403,
    "PERMISSION_DENIED",
    `the API key "${principal.name}" lacks the scope ${wanted}`,
    {
      headers: {
        "www-authenticate": `Bearer realm="adtally", error="insufficient_scope", scope="${scopes.join(" ")}"`,
      },
    },
  );
}

const REFUSALS: readonly number[] = [401, 403, 429];
const READING: readonly string[] = ["GET", "HEAD", "OPTIONS"];

/** E2. */
function noteInAudit(app: FastifyInstance, audit: Pick<Audit, "note">): void {
  app.addHook("onResponse", async (request, reply) => {
    const { caller, method } = request;
    if (caller === null) return;
    const refused = REFUSALS.includes(reply.statusCode);
    const isChange = !READING.includes(method) && (caller.scope === "admin" || caller.scope === "read");
    if (!refused && !isChange) return;
    audit.note({
      keyId: caller.principal?.keyId,
      keyName: caller.principal?.name,
      method,
      route: request.routeOptions.url ?? "",
      path: request.url.split("?", 1)[0]!.slice(0, 200),
      status: reply.statusCode,
      outcome: refused ? "refused" : reply.statusCode < 400 ? "done" : "failed",
    });
  });
}
