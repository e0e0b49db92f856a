/**
 * The OpenAPI document as a page to read, at /docs: made of the document that /openapi.json
 * serves, without scripts and without a request to anywhere.
 */
interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

interface Operation {
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema?: Schema;
  }[];
  readonly requestBody?: { readonly content?: Readonly<Record<string, { readonly schema?: Schema }>> };
  readonly responses?: Readonly<
    Record<
      string,
      {
        readonly description?: string;
        readonly content?: Readonly<Record<string, { readonly schema?: Schema }>>;
      }
    >
  >;
}

export interface OpenApi {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const text = (value: unknown): string => String(value).replace(/[&<>"]/g, (character) => ESCAPES[character]!);

export const API_PAGE_CSP =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

const STYLE = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,h3{font-family:ui-monospace,monospace}h3{overflow-wrap:anywhere;margin:2.5rem 0 0}table{border-collapse:collapse;width:100%;font-size:.9rem}
td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8884}th{font-weight:600}nav a{margin-right:1rem}`;

const typeOf = (schema: Schema = {}): string =>
  schema.enum !== undefined
    ? schema.enum.join(" | ")
    : schema.items !== undefined
      ? `list of ${typeOf(schema.items)}`
      : [schema.type ?? "any"].flat().join(" or ");

/** The fields of an object, those of objects within behind a dot. */
function fieldsOf(schema: Schema | undefined, prefix = ""): readonly (readonly [string, Schema])[] {
  return Object.entries(schema?.properties ?? {}).flatMap(([name, field]) => {
    const list = field.items !== undefined;
    return [
      [prefix + name, field] as const,
      ...fieldsOf(list ? field.items : field, `${prefix}${name}${list ? "[]" : ""}.`),
    ];
  });
}

function table(head: string, rows: readonly (readonly [string, string, string])[]): string {
  if (rows.length === 0) return "";
  const lines = rows.map(
    ([name, type, about]) =>
      `<tr><td><code>${text(name)}</code></td><td>${text(type)}</td><td>${text(about)}</td></tr>`,
  );
  return `<table><thead><tr><th scope="col">${head}</th><th scope="col">Type</th><th scope="col">What it is</th></tr></thead><tbody>${lines.join("")}</tbody></table>`;
}

const fieldRows = (schema: Schema | undefined) =>
  fieldsOf(schema).map(([name, field]) => [name, typeOf(field), field.description ?? ""] as const);

function operationHtml(method: string, path: string, operation: Operation): string {
  const parameters = (operation.parameters ?? []).map(({ name, required, description, schema }) => {
    const without = schema?.default === undefined ? "" : ` ${String(schema.default)} by default.`;
    return [
      name,
      typeOf(schema),
      `${required === true ? "Required. " : ""}${description ?? ""}${without}`,
    ] as const;
  });
  const json = (content: Readonly<Record<string, { readonly schema?: Schema }>> | undefined) =>
    content?.["application/json"]?.schema;
  const [ok, ...refusals] = Object.entries(operation.responses ?? {});
  return [
    `<h3 id="${text(`${method}-${path}`)}">${method.toUpperCase()} ${text(path)}</h3>`,
    `<p>${text(operation.summary ?? "")}</p>`,
    operation.description === undefined ? "" : `<p>${text(operation.description)}</p>`,
    table("Parameter", parameters),
    table("Body", fieldRows(json(operation.requestBody?.content))),
    table("Answer", fieldRows(json(ok?.[1].content))),
    refusals.length === 0 ? "" : `<p>Refusals: ${text(refusals.map(([status]) => status).join(", "))}</p>`,
  ].join("\n");
}

export function apiPage({ info, paths = {} }: OpenApi): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method,
      path,
      operation,
      tag: operation.tags?.[0] ?? "other",
    })),
  );
  const tags = [...new Set(operations.map(({ tag }) => tag))].sort();
  const sections = tags.map((tag) => {
    const own = operations.filter((each) => each.tag === tag);
    const parts = own.map(({ method, path, operation }) => operationHtml(method, path, operation));
    return `<section><h2 id="${text(tag)}">${text(tag)}</h2>${parts.join("\n")}</section>`;
  });
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${text(info.title)} API</title><style>${STYLE}</style></head><body><h1>${text(info.title)} API, ${text(info.version)}</h1>
<p>${text(info.description ?? "")} For programs: <a href="/openapi.json">/openapi.json</a>.</p>
<nav aria-label="Parts">${tags.map((tag) => `<a href="#${text(tag)}">${text(tag)}</a>`).join("")}</nav>
<main>${sections.join("\n")}</main></body></html>`;
}
