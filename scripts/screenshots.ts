/**
 * The pictures of the dashboard in docs/: node scripts/screenshots.ts. Of the demo, so that anyone
 * can make them again. Look at them before they are committed.
 */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { BrowserContextOptions, Page } from "playwright-core";
import { launchChromium, openContext } from "../testing/browser/chromium.ts";
import { startDemo } from "../testing/browser/demo.ts";

const FOLDER = path.resolve(import.meta.dirname, "../docs");
const ADVERTISER = "Kaffeewerk";
/** So that the last minute has clicks in it. */
const TRAFFIC_MS = 75_000;
const SETTLE_MS = 2_500;

interface Picture {
  readonly file: string;
  readonly options: BrowserContextOptions;
  readonly url: string;
}

const WIDE = { viewport: { width: 1280, height: 1000 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const PICTURES: readonly Picture[] = [
  { file: "dashboard.png", options: { ...WIDE, colorScheme: "light" }, url: "/?zone=Europe/Berlin" },
  {
    file: "dashboard-dark.png",
    options: { ...WIDE, colorScheme: "dark" },
    url: "/?campaign=911&zone=Europe/Berlin",
  },
  { file: "dashboard-phone.png", options: { ...PHONE, colorScheme: "light" }, url: "/?zone=Europe/Berlin" },
];

async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
}

const demo = await startDemo();
const browser = await launchChromium();
try {
  await mkdir(FOLDER, { recursive: true });
  await new Promise((resolve) => setTimeout(resolve, TRAFFIC_MS));
  for (const { file, options, url } of PICTURES) {
    const { context, complaints } = await openContext(browser, demo.url, options);
    const page = await context.newPage();
    await page.goto(url);
    await signIn(page, demo.keys.get(ADVERTISER)!);
    await page.getByRole("row").nth(1).waitFor();
    await page.waitForTimeout(SETTLE_MS);
    await page.screenshot({ path: path.join(FOLDER, file) });
    process.stdout.write(`docs/${file}${complaints.length > 0 ? `: ${complaints.join("; ")}` : ""}\n`);
    await context.close();
  }
} finally {
  await browser.close();
  await demo.stop();
}
