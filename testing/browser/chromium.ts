/** Chromium under Playwright's hands, and all that a page complained of while it was. */
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions } from "playwright-core";
import { installChromium } from "../servers/chromium.ts";

export async function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: await installChromium(),
    // Its sandbox refuses to run for root, which containers are; a container's shared memory is small.
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
}

export interface WatchedContext {
  readonly context: BrowserContext;
  /** Errors and warnings of consoles (a content policy's among them), what was thrown, requests to other hosts. */
  readonly complaints: readonly string[];
}

export async function openContext(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<WatchedContext> {
  const complaints: string[] = [];
  const context = await browser.newContext({
    baseURL: url,
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
    ...options,
  });
  context.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning")
      complaints.push(`${message.type()}: ${message.text()} (${message.location().url})`);
  });
  context.on("weberror", (error) =>
    complaints.push(`thrown: ${error.error().stack ?? error.error().message}`),
  );
  context.on("request", (request) => {
    const { host, protocol } = new URL(request.url());
    if (/^http/.test(protocol) && host !== new URL(url).host)
      complaints.push(`asked another host: ${request.url()}`);
  });
  return { context, complaints };
}
