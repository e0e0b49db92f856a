/**
 * The dashboard over HTTP: one page at / and its files. Open to anyone, as nothing of anybody's
 * is in them: what the page shows it asks the API for, with the key that its user gives.
 *
 * The content policy lets the page load scripts and styles, and ask, of this host alone.
 */
import type { FastifyInstance } from "fastify";
import { HttpProblem } from "../../actors/adapters/http/problem.ts";
import { loadAssets, type Assets } from "./assets.ts";

const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/html; charset=utf-8",
  "cache-control": "no-cache",
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cross-origin-opener-policy": "same-origin",
};
const FILE_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "public, max-age=31536000, immutable",
  "x-content-type-options": "nosniff",
  vary: "accept-encoding",
};

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' " +
  "height='16' rx='4' fill='%230b6b5e'/%3E%3Cpath d='M4 12V8M8 12V4M12 12V6' stroke='%23fff' " +
  "stroke-width='2' stroke-linecap='round'/%3E%3C/svg%3E";

export interface DashboardOptions {
  /** Whether this program serves /demo, where ads can be clicked. */
  readonly hasDemo?: boolean;
  /** Whether reports can be read without a key. */
  readonly isOpen?: boolean;
}

function pageOf({ base, files }: Assets, { hasDemo = false, isOpen = false }: DashboardOptions): string {
  const modules = [...files].filter(([, { type }]) => type.startsWith("text/javascript"));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>adtally</title>
<link rel="icon" href="${ICON}">
<link rel="stylesheet" href="${base}uplot.css">
<link rel="stylesheet" href="${base}style.css">
${modules.map(([name]) => `<link rel="modulepreload" href="${base}${name}">`).join("\n")}
<script type="module" src="${base}main.ts"></script>
</head>
<body>
<div id="app"${hasDemo ? ' data-demo="/demo"' : ""}${isOpen ? " data-open" : ""}><p class="boot">Loading the dashboard…</p></div>
<noscript><p class="boot">The dashboard needs JavaScript. The same numbers are at <a href="/openapi.json">the API</a>.</p></noscript>
</body>
</html>
`;
}

export function registerDashboard(app: FastifyInstance, options: DashboardOptions = {}): void {
  const assets = loadAssets();
  const page = pageOf(assets, options);

  app.get("/", { schema: { hide: true } }, async (_request, reply) => reply.headers(PAGE_HEADERS).send(page));

  app.get<{ Params: { digest: string; name: string } }>(
    "/dashboard/:digest/:name",
    { schema: { hide: true } },
    async (request, reply) => {
      const { digest, name } = request.params;
      const asset = assets.base === `/dashboard/${digest}/` ? assets.files.get(name) : undefined;
      // A page of a version that is gone must not keep pieces of this one.
      if (asset === undefined)
        throw new HttpProblem(404, "NOT_FOUND", "the dashboard has no such file any more: load / again");
      const isGzipped = /\bgzip\b/.test(String(request.headers["accept-encoding"]));
      if (isGzipped) reply.header("content-encoding", "gzip");
      return reply
        .headers(FILE_HEADERS)
        .type(asset.type)
        .send(isGzipped ? asset.gzipped : asset.bytes);
    },
  );
}
