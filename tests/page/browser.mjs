// A headless Chromium that reports everything a page must not do: dialogs, other origins, violations of the policy, errors of scripts.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

// The build installs playwright-core in its own tree and says where.
const require = createRequire(
  process.env.INFERNUM_PAGE_MODULES ? join(process.env.INFERNUM_PAGE_MODULES, "package.json") : import.meta.url,
);
const { chromium } = require("playwright-core");

const quiet = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-domain-reliability",
  "--disable-extensions",
  "--disable-sync",
  "--metrics-recording-only",
  "--no-first-run",
  "--no-pings",
];

/** Wide enough for the list of conversations to stand beside the chat. */
export const desktop = { width: 1200, height: 800 };
export const phone = { width: 360, height: 640 };

export class Browser {
  async start() {
    this.folder = mkdtempSync(join(tmpdir(), "infernum-page-"));
    const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
    this.context = await chromium.launchPersistentContext(this.folder, {
      executablePath,
      headless: true,
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", ...quiet],
    });
    this.browser = this.context.browser();
  }

  async stop() {
    await this.context.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A page with empty storage at the server's address, once it shows the chat. */
  async open(url, options = {}) {
    const visit = new Visit(url);
    await visit.start(await this.newContext(url, options), options);
    return visit;
  }

  /** One persistent context serves all cases in turn, so what a case sets must be set by each. */
  async newContext(url, { viewport = desktop, colorScheme = "light" }) {
    await this.context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(url).origin });
    const page = await this.context.newPage();
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme });
    const session = await this.context.newCDPSession(page);
    await session.send("Storage.clearDataForOrigin", { origin: new URL(url).origin, storageTypes: "all" });
    await session.detach();
    return page;
  }
}

/** One case's page and what it did wrong. */
class Visit {
  wrongs = [];

  constructor(url) {
    this.url = url;
    this.origin = new URL(url).origin;
  }

  async start(page) {
    this.page = page;
    page.setDefaultTimeout(8000);
    page.on("dialog", (dialog) => (this.wrongs.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
    page.on("pageerror", (error) => this.wrongs.push(`script error: ${error.stack ?? error.message}`));
    page.on("console", (message) => {
      // Chromium reports each answer of status 400 and up here; the cases that provoke those look at them themselves.
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
        this.wrongs.push(`console: ${message.text()}`);
    });
    page.on("popup", (popup) => this.wrongs.push(`popup: ${popup.url()}`));
    await page.route(
      (url) => url.origin !== this.origin && url.protocol !== "data:" && url.protocol !== "blob:",
      (route) => (this.wrongs.push(`request to another origin: ${route.request().url()}`), route.abort()),
    );
    await page.addInitScript(() => {
      globalThis.violations = [];
      document.addEventListener("securitypolicyviolation", (event) =>
        globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`),
      );
    });
    await page.goto(this.url);
    await page.waitForSelector(".composer textarea");
  }

  /** Fails for anything the page must never do. */
  async assertClean() {
    const violations = await this.page.evaluate(() => globalThis.violations);
    assert.deepEqual([...this.wrongs, ...violations.map((violation) => `policy: ${violation}`)], []);
  }

  get input() {
    return this.page.locator(".composer textarea");
  }
  get answers() {
    return this.page.locator(".answer");
  }
  get lastAnswer() {
    return this.page.locator(".answer").last();
  }
  button(name) {
    return this.page.getByRole("button", { name });
  }

  async send(text) {
    await this.input.fill(text);
    await this.input.press("Enter");
  }

  /** Waits until no answer is under way. */
  async idle() {
    await this.page.waitForSelector('.composer .send[aria-label^="Send"]');
  }

  async ask(text) {
    await this.send(text);
    // The field empties as the answer begins.
    await this.page.waitForFunction(() => document.querySelector(".composer textarea").value === "");
    await this.idle();
  }

  /** The page's background once it is another than this. */
  async backgroundAfter(before) {
    const now = await this.page.waitForFunction((old) => {
      const { backgroundColor } = getComputedStyle(document.documentElement);
      return backgroundColor !== old && backgroundColor;
    }, before);
    return now.jsonValue();
  }

  /** No content is cut off to the side or reachable only by scrolling sideways. */
  async assertFitsWidth() {
    const wide = await this.page.evaluate(() => {
      const scrolls = (element) => element.closest("pre, .table, .visually-hidden") !== null;
      const hidden = (element) => getComputedStyle(element).visibility === "hidden";
      return [...document.querySelectorAll("body *")]
        .filter((element) => !scrolls(element) && !hidden(element))
        .map((element) => [element, element.getBoundingClientRect()])
        .filter(([, { left, right, width }]) => width > 0 && (left < -0.5 || right > innerWidth + 0.5))
        .map(([element, { left, right }]) => `${element.tagName}.${element.className} from ${left} to ${right}`);
    });
    assert.deepEqual(wide, []);
    const overflow = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `the page scrolls sideways by ${overflow} pixels`);
  }
}
