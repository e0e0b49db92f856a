/** What a request for /click says, read before anything else looks at it. */
import type { IncomingHttpHeaders } from "node:http";
import { TOKEN_TEXT_LENGTH } from "../../token/token.ts";

const PATH = "/click";
const USUAL = "/click?i=";

/** The path and query of a request target, whose absolute form (RFC 9112, 3.2.2) names the host first. */
function originForm(target: string): string {
  if (target.startsWith("/")) return target;
  return /^https?:\/\/[^/?#]*(\/.*)$/i.exec(target)?.[1] ?? target;
}

export function isClick(target: string): boolean {
  const url = originForm(target);
  return url.startsWith(PATH) && (url.length === PATH.length || url[PATH.length] === "?");
}

/** The text of the one parameter `i` of a click's target; undefined when there is none, or more. */
export function tokenTextOf(target: string): string | undefined {
  if (target.length === USUAL.length + TOKEN_TEXT_LENGTH && target.startsWith(USUAL)) {
    const text = target.slice(USUAL.length);
    if (!text.includes("&") && !text.includes("%")) return text;
  }
  const url = originForm(target);
  const found = new URLSearchParams(url.slice(PATH.length)).getAll("i");
  return found.length === 1 ? found[0] : undefined;
}

/** A browser that fetches ahead, or shows a preview: nobody has clicked. */
export function isPrefetch(headers: IncomingHttpHeaders): boolean {
  return (
    says(headers["sec-purpose"]) ||
    says(headers["purpose"]) ||
    says(headers["x-purpose"]) ||
    says(headers["x-moz"])
  );
}

function says(purpose: string | string[] | undefined): boolean {
  return purpose !== undefined && /prefetch|prerender|preview/i.test(String(purpose));
}
