/** The dashboard as its users have it: `npm start`, in a real browser. One story, told in order. */
import { readFile } from "node:fs/promises";
import axe from "axe-core";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launchChromium, openContext, type WatchedContext } from "../../testing/browser/chromium.ts";
import { startDemo, type RunningDemo } from "../../testing/browser/demo.ts";

const ADVERTISER = "Nordlicht Outdoor";
const AD = "1001";
/** Of another advertiser. */
const FOREIGN_CAMPAIGN = "City e-bikes";
const WAIT_MS = 30_000;

let demo: RunningDemo;
let browser: Browser;
let watched: WatchedContext;
let page: Page;
let explainUrl: string;

beforeAll(async () => {
  [demo, browser] = await Promise.all([startDemo(), launchChromium()]);
  watched = await openContext(browser, demo.url);
  watched.context.setDefaultTimeout(WAIT_MS);
  page = await watched.context.newPage();
});
afterAll(async () => {
  await browser?.close();
  await demo?.stop();
});

const key = () => demo.keys.get(ADVERTISER)!;
const today = (on: Page) => on.locator('[data-test="today"]').innerText();
const chartTitle = () => page.locator("#chart-title").innerText();

async function signIn(on: Page): Promise<void> {
  await on.getByLabel("API key").fill(key());
  await on.getByRole("button", { name: "Sign in" }).click();
}

/** That the chart has the points of what its title says, and not those of before any more. */
async function chartOf(title: string): Promise<void> {
  await expect.poll(chartTitle, { timeout: WAIT_MS }).toBe(title);
  await page.locator(".plot .u-over").waitFor();
  await expect.poll(() => page.locator(".stale").count(), { timeout: WAIT_MS }).toBe(0);
}

/** From one share of the chart's width to another. */
async function brush(from: number, to: number): Promise<void> {
  const over = page.locator(".plot .u-over");
  await over.scrollIntoViewIfNeeded();
  const box = (await over.boundingBox())!;
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * from, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * to, y, { steps: 5 });
  await page.mouse.up();
}

async function seriousFaults(on: Page): Promise<readonly string[]> {
  await on.evaluate(axe.source);
  const { violations } = await on.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run());
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(" | ")}`);
}

describe("the dashboard in a browser", () => {
  test("a key that is not known is refused in words, and the form can be read by all", async () => {
    await page.goto("/");
    expect(await seriousFaults(page)).toEqual([]);
    await page.getByLabel("API key").fill("adk_not-a-key-of-this-server");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("This key is not known here.").waitFor();
    // The answer to the wrong key is the one complaint that is in order.
    const [first, ...others] = watched.complaints;
    expect(first).toContain("401");
    expect(others).toEqual([]);
  });

  test("an advertiser's key shows the demo data of that advertiser, and nobody else's", async () => {
    await signIn(page);
    await page.getByRole("link", { name: /^Autumn boots \(demo data\)/ }).waitFor();
    await page.getByText("was made up for this demonstration").waitFor();
    expect(await page.getByRole("row").count()).toBeGreaterThan(3);
    expect(await page.content()).not.toContain(FOREIGN_CAMPAIGN);
    expect(await seriousFaults(page)).toEqual([]);
  });

  test("a click on /demo moves the ad's counter", async () => {
    await page.goto(`/?ad=${AD}`);
    await expect.poll(() => today(page), { timeout: WAIT_MS }).toBe("0");
    const demoPage = await watched.context.newPage();
    await demoPage.goto("/demo");
    const card = demoPage.locator(`[data-ad="${AD}"]`);
    explainUrl = (await card.locator("a.explain").getAttribute("href"))!;
    const [landing] = await Promise.all([
      watched.context.waitForEvent("page"),
      card.locator("a.creative").click(),
    ]);
    await landing.waitForLoadState();
    expect(landing.url()).toContain("/demo/landing");
    await landing.close();
    await demoPage.close();
    await page.bringToFront();
    await expect.poll(() => today(page), { timeout: WAIT_MS }).toBe("1");
  });

  test("a week is brushed down to minutes, the URL says where one is, and back goes back", async () => {
    await page.goto("/?campaign=901");
    await chartOf("Clicks by hour");
    const week = page.url();
    await brush(0.5, 0.62);
    await chartOf("Clicks by five minutes");
    const day = page.url();
    expect(new URL(day).searchParams.get("from")).toMatch(/^\d{4}-\d\d-\d\dT/);
    await brush(0.4, 0.6);
    await chartOf("Clicks by minute");
    await page.goBack();
    await expect.poll(() => page.url()).toBe(day);
    await chartOf("Clicks by five minutes");
    await page.goBack();
    await expect.poll(() => page.url()).toBe(week);
    await chartOf("Clicks by hour");
  });

  test("the same by keyboard: arrows move, Shift chooses, Enter looks closer", async () => {
    const plot = page.getByRole("application", { name: /Clicks by time/ });
    await plot.focus();
    for (const pressed of ["Home", ...Array.from({ length: 10 }, () => "Shift+ArrowRight"), "Enter"])
      await page.keyboard.press(pressed);
    await chartOf("Clicks by five minutes");
  });

  test("the CSV of a table is the API's rows", async () => {
    const [from, to] = [30, 6].map((hours) => new Date(Date.now() - hours * 3_600_000).toISOString());
    await page.goto(`/?from=${from!}&to=${to!}&zone=UTC`);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("region", { name: "Campaigns" }).getByRole("button", { name: "Download CSV" }).click(),
    ]);
    const lines = (await readFile(await download.path(), "utf8")).trim().split("\r\n");
    const query = new URLSearchParams({
      from: from!,
      to: to!,
      granularity: "total",
      group_by: "campaign",
      compare: "previous",
    });
    const answer = await fetch(`${demo.url}/v1/reports?${query}`, {
      headers: { authorization: `Bearer ${key()}` },
    });
    const { columns, rows } = (await answer.json()) as {
      columns: readonly string[];
      rows: readonly Record<string, string | number>[];
    };
    expect(rows.length).toBeGreaterThan(2);
    expect(lines).toEqual([
      columns.join(","),
      ...rows.map((row) => columns.map((name) => String(row[name])).join(",")),
    ]);
  });

  test("that click is explained by its impression id", async () => {
    const id = new URL(explainUrl, demo.url).searchParams.get("click")!;
    await page.getByRole("link", { name: "Explain a click" }).click();
    await page.getByLabel("Impression id").fill(id);
    await page.getByRole("button", { name: "Explain", exact: true }).click();
    await page.getByRole("heading", { name: "Counted: accepted" }).waitFor();
    expect(await page.getByRole("link", { name: AD, exact: true }).count()).toBe(1);
    expect(await seriousFaults(page)).toEqual([]);
  });

  test("in the dark and on a phone it has no serious fault, and fits", async () => {
    const phone = await openContext(browser, demo.url, {
      viewport: { width: 390, height: 844 },
      colorScheme: "dark",
    });
    const small = await phone.context.newPage();
    await small.goto("/");
    await signIn(small);
    await small.getByRole("link", { name: /^Autumn boots/ }).waitFor();
    expect(await seriousFaults(small)).toEqual([]);
    expect(await small.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(390);
    expect(phone.complaints).toEqual([]);
    await phone.context.close();
  });

  test("signed out, the key is gone; all the while nobody complained, and no other host was asked", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API key").waitFor();
    expect(await page.evaluate("JSON.stringify(Object.entries(sessionStorage))")).toBe("[]");
    expect(watched.complaints.slice(1)).toEqual([]);
  });
});
