/** What was done with keys at this program, and what was refused. Needs a key of scope "admin". */
import type { FastifyPluginAsync } from "fastify";
import type { RequireScope } from "../../actors/adapters/http/auth.ts";
import { invalidInput } from "../../actors/adapters/http/problem.ts";
import type { Limits } from "../../actors/core/limits.ts";
import type { Audit } from "../../actors/keys/audit.ts";
import { problemResponses, text } from "./schemas.ts";

export interface AuditRouteDeps {
  readonly audit: Pick<Audit, "list">;
  readonly requireScope: RequireScope;
  readonly limits: Pick<Limits, "auditPageMaxEntries">;
}

const entrySchema = {
  type: "object",
  properties: {
    id: text("Cursor of a listing."),
    at: { ...text("When."), format: "date-time" },
    key_id: { ...text("Whose key; null for one that is not known, or none."), nullable: true },
    key_name: { ...text("Its name then."), nullable: true },
    method: text("HTTP's method, or GRPC."),
    route: text("As the API document names it."),
    path: text("As it was called, without its query."),
    status: text("HTTP's status, or the code of a gRPC refusal."),
    outcome: { type: "string", enum: ["done", "refused", "failed"] },
    repeated: {
      type: "integer",
      description: "How often the same was refused since the entry before of it.",
    },
  },
} as const;

export function auditRoutes({ audit, requireScope, limits }: AuditRouteDeps): FastifyPluginAsync {
  return async (app) => {
    app.get<{ Querystring: { limit: string; before?: string } }>(
      "/v1/audit",
      {
        onRequest: requireScope("admin"),
        schema: {
          tags: ["keys"],
          summary: "What was changed with keys here, and what was refused; the newest first.",
          description: "Of the program that answers: in a cluster each keeps what was done at itself.",
          security: [{ key: [] }],
          querystring: {
            type: "object",
            additionalProperties: false,
            properties: {
              limit: {
                ...text(`Entries at the most, from 1 to ${limits.auditPageMaxEntries}.`),
                default: "100",
              },
              before: { type: "string", description: "The id of the last one seen." },
            },
          },
          response: {
            200: {
              type: "object",
              properties: {
                entries: { type: "array", items: entrySchema },
                next: { type: "string", nullable: true },
              },
            },
            ...problemResponses(400, 401, 403, 429),
          },
        },
      },
      async (request, reply) => {
        const limit = readNumber("limit", request.query.limit, limits.auditPageMaxEntries);
        const { before } = request.query;
        const entries = await audit.list(
          limit,
          before === undefined ? undefined : readNumber("before", before, Number.MAX_SAFE_INTEGER),
        );
        reply.header("cache-control", "no-store");
        return {
          entries: entries.map((entry) => ({
            id: String(entry.id),
            at: new Date(entry.atMs).toISOString(),
            key_id: entry.keyId ?? null,
            key_name: entry.keyName ?? null,
            method: entry.method,
            route: entry.route,
            path: entry.path,
            status: String(entry.status),
            outcome: entry.outcome,
            repeated: entry.repeated,
          })),
          next: entries.length === limit ? String(entries.at(-1)!.id) : null,
        };
      },
    );
  };
}

function readNumber(field: string, written: string, most: number): number {
  const value = /^[1-9]\d{0,15}$/.test(written) ? Number(written) : 0;
  if (value >= 1 && value <= most) return value;
  throw invalidInput([{ field, reason: `must be a whole number from 1 to ${most}` }]);
}
