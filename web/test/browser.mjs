// Opens pages in headless Chromium and says what it saw: one JSON request on stdin, one JSON answer on stdout.
// Request: {pages: [{name, url, width?, dark?, wait?, follow?, click?, keys?, shot?, full?}]}. The answer has, for each page,
// its title and heading, its text, errors, requests that left the page's own origin, findings of axe, overflow.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import chromium from "@sparticuz/chromium";
import { chromium as playwright } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const request = JSON.parse(readFileSync(0, "utf8"));
const browser = await playwright.launch({
  executablePath: await chromium.executablePath(),
  // in a single process it ends with its first page, and without web security the tests would prove little
  args: chromium.args.filter((arg) => !/^--(single-process|disable-web-security|disable-site-isolation)/.test(arg)),
  headless: true,
});

async function look(wanted) {
  const context = await browser.newContext({
    viewport: { width: wanted.width ?? 1200, height: wanted.height ?? 900 },
    colorScheme: wanted.dark ? "dark" : "light",
    locale: "en-GB",
    timezoneId: "Europe/Lisbon",
    bypassCSP: false,
  });
  const page = await context.newPage();
  const errors = [];
  const foreign = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("dialog", (dialog) => {
    errors.push(`a dialog opened: ${dialog.message()}`);
    void dialog.dismiss();
  });
  const own = new URL(wanted.url).origin;
  page.on("request", (asked) => {
    const url = asked.url();
    if (!url.startsWith("data:") && !url.startsWith("blob:") && new URL(url).origin !== own) foreign.push(url);
  });
  await page.goto(wanted.url);
  await page.waitForSelector(wanted.wait ?? "h1", { timeout: 30_000 }).catch((error) => {
    throw new Error(`${wanted.name}: ${error.message}; the page says: ${errors.join("; ") || "nothing"}`);
  });
  const painted = await page.evaluate(() => performance.now()); // since this page was asked for
  if (wanted.follow) {
    // every text that an element had, each with the moment at which it was there to be painted
    await page.evaluate((selector) => {
      const seen = (window.followed = []);
      const look = () => seen.push([Date.now(), document.querySelector(selector)?.textContent ?? ""]);
      new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
    }, wanted.follow);
    await page.waitForTimeout(wanted.pause ?? 150);
  }
  for (const key of wanted.keys ?? []) await page.keyboard.press(key);
  for (const selector of wanted.click ?? []) await page.click(selector);
  if (wanted.then) await page.waitForSelector(wanted.then, { timeout: 60_000 });
  await page.evaluate(() => document.fonts.ready);
  await page.waitForTimeout(wanted.pause ?? 150);
  const seen = await page.evaluate(() => ({
    title: document.title,
    heading: document.querySelector("h1")?.textContent ?? "",
    text: document.body.innerText,
    followed: window.followed ?? [],
    focused: document.activeElement?.textContent?.trim().slice(0, 60) ?? "",
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    bold: document.querySelectorAll("b, script:not([src]):not([type])").length,
  }));
  if (wanted.shot) await page.screenshot({ path: wanted.shot, fullPage: wanted.full ?? true });
  // axe is run through the debugger's protocol, which the page's policy does not bind
  const findings = wanted.axe === false ? [] : await examine(page);
  await context.close();
  return { name: wanted.name, ...seen, errors, foreign, painted, axe: findings };
}

async function examine(page) {
  await page.evaluate(`${axe}; void 0`);
  const found = await page.evaluate(() =>
    // eslint-disable-next-line no-undef
    axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }),
  );
  return found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
}

const answer = [];
try {
  for (const wanted of request.pages) answer.push(await look(wanted));
} finally {
  await browser.close();
}
process.stdout.write(JSON.stringify(answer));
