// How it looks and reads: colours, the probability view in detail, following the answer, what assistive technology is told.
import assert from "node:assert/strict";
import { phone } from "./browser.mjs";
import { token } from "./mock_server.mjs";

/** Contrast as WCAG 2 defines it, between the text colour and the nearest opaque background of each element. */
const contrasts = (page, selectors) =>
  page.evaluate((wanted) => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (color) =>
      rgba(color)
        .slice(0, 3)
        .map((value) => value / 255)
        .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
    const background = (element) => {
      for (let at = element; at; at = at.parentElement)
        if (rgba(getComputedStyle(at).backgroundColor)[3] === 255) return getComputedStyle(at).backgroundColor;
      return "white";
    };
    return wanted.map((selector) => {
      const element = document.querySelector(selector);
      const [low, high] = [luminance(getComputedStyle(element).color), luminance(background(element))].sort((a, b) => a - b);
      return [selector, (high + 0.05) / (low + 0.05)];
    });
  }, selectors);

async function assertReadable(page, selectors) {
  for (const [selector, contrast] of await contrasts(page, selectors))
    assert.ok(contrast >= 4.5, `${selector} has a contrast of ${contrast.toFixed(2)}, below 4.5`);
}

export const viewCases = {
  "light and dark follow the system and the switch": async ({ open }) => {
    const visit = await open({ colorScheme: "light" });
    const light = await visit.backgroundAfter("");
    await visit.page.emulateMedia({ colorScheme: "dark" });
    const dark = await visit.backgroundAfter(light);
    await visit.page.emulateMedia({ colorScheme: "light" });
    assert.equal(await visit.backgroundAfter(dark), light);
    await visit.button("Dark colours").click();
    assert.equal(await visit.backgroundAfter(light), dark);
    await visit.page.reload();
    assert.equal(await visit.backgroundAfter(light), dark, "the choice is kept");
    await visit.button("Light colours").click();
    assert.equal(await visit.backgroundAfter(dark), light);
  },

  "text is readable in both": async ({ open, mock }) => {
    mock.respond = (reply) => reply.answer([token("# Title\n\n[link](https://example.org) text\n\n```js\nconst x = 'a'; // c\n```\n", -4)]);
    for (const colorScheme of ["light", "dark"]) {
      const visit = await open({ colorScheme });
      await visit.ask("Hello");
      await assertReadable(visit.page, [
        ".bubble",
        ".markdown h1",
        ".markdown a",
        ".markdown p",
        ".stats",
        ".hljs-keyword",
        ".hljs-string",
        ".hljs-comment",
        ".code-bar",
        ".context",
        ".conversations .open",
        ".new",
        ".model",
      ]);
      await visit.button("Token probabilities").click();
      await visit.ask("Again");
      await assertReadable(visit.page, [".token"]);
    }
  },

  "probabilities: shades, alternatives, keys": async ({ open, mock }) => {
    const others = [
      { token: " hare", logprob: Math.log(0.3), bytes: [32, 104] },
      { token: "", logprob: -9999, bytes: [] },
    ];
    mock.respond = (reply) =>
      reply.answer([
        token("A", Math.log(0.95)),
        token(" fox", Math.log(0.5), others),
        token("\n\n", Math.log(0.05)),
        token("ran", Math.log(0.001)),
      ]);
    const visit = await open();
    await visit.button("Token probabilities").click();
    await visit.ask("Go");
    const { body } = mock.requests.at(-1);
    assert.deepEqual([body.logprobs, body.top_logprobs], [true, 5]);
    assert.deepEqual(await visit.page.locator(".token").evaluateAll((spans) => spans.map(({ className }) => className)), [
      "token shade-0",
      "token shade-2",
      "token shade-4",
      "token shade-5",
    ]);
    await visit.page.locator(".token").nth(1).hover();
    assert.deepEqual(
      await visit.page
        .locator(".card .row")
        .allInnerTexts()
        .then((rows) => rows.map((row) => row.replace(/\s+/g, " "))),
      ["·fox 50.0 %", "·hare 30.0 %", "(no text) 0 %"],
    );
    await visit.page.mouse.move(0, 0);
    await visit.page.locator(".tokens").focus();
    await visit.page.keyboard.press("ArrowRight");
    await visit.page.keyboard.press("ArrowRight");
    await visit.page.keyboard.press("ArrowRight");
    await visit.page.waitForSelector(".card-head code:text('↵↵')");
    await visit.page.keyboard.press("Escape");
    await visit.page.waitForSelector(".card", { state: "detached" });
    await visit.button("Token probabilities").click();
    await visit.page.waitForSelector(".answer .markdown");
  },

  "probabilities: a special token is told from text": async ({ open, mock }) => {
    const end = { token: "<|im_end|>", logprob: -0.1, bytes: null, top_logprobs: [] };
    mock.respond = async (reply) => {
      await reply.begin();
      await reply.send([token("Done.")]);
      await reply.chunk({ delta: { content: "" }, logprobs: { content: [end], refusal: null } });
      await reply.end();
    };
    const visit = await open();
    await visit.button("Token probabilities").click();
    await visit.ask("Go");
    assert.deepEqual(await visit.page.locator(".token.special").allInnerTexts(), ["<|im_end|>"]);
    await visit.button("Token probabilities").click();
    assert.equal((await visit.lastAnswer.locator(".markdown").innerText()).trim(), "Done.");
  },

  "probabilities: the card stays on a phone's screen": async ({ open, mock }) => {
    mock.respond = (reply) => reply.answer("words that fill several lines of a small screen ".repeat(12));
    const visit = await open({ viewport: phone });
    await visit.button("Token probabilities").click();
    await visit.ask("Go");
    for (const index of [0, 5, 40, 80]) {
      await visit.page.locator(".token").nth(index).scrollIntoViewIfNeeded();
      await visit.page.locator(".token").nth(index).click();
      const box = await visit.page.locator(".card").boundingBox();
      assert.ok(
        box.x >= 0 && box.y >= 0 && box.x + box.width <= phone.width && box.y + box.height <= phone.height,
        `token ${index}: ${JSON.stringify(box)}`,
      );
    }
  },

  "wide content scrolls by itself on a phone": async ({ open, mock }) => {
    const wide = "x".repeat(300);
    mock.respond = (reply) =>
      reply.answer(
        `${wide}\n\n\`\`\`\n${wide}\n\`\`\`\n\n| ${"a | ".repeat(30)}\n|${"---|".repeat(30)}\n| ${"cell | ".repeat(30)}\n\n\`${wide}\` https://example.org/${wide}`,
      );
    const visit = await open({ viewport: phone });
    await visit.ask(wide);
    await visit.assertFitsWidth();
    mock.respond = (reply) => reply.error(400, { message: wide });
    await visit.ask("x");
    await visit.assertFitsWidth();
  },

  "the view follows the answer unless the reader scrolled up": async ({ open, mock }) => {
    mock.respond = async (reply) => {
      await reply.begin();
      for (let i = 0; i < 400 && !reply.closed; ++i) await reply.send([`Line ${i}\n\n`], 5);
      await reply.end();
    };
    const visit = await open({ viewport: { width: 900, height: 500 } });
    const fromEnd = () => visit.page.locator(".log").evaluate((log) => log.scrollHeight - log.scrollTop - log.clientHeight);
    await visit.send("Long");
    await visit.page.waitForSelector(".answer :text('Line 60')");
    assert.ok((await fromEnd()) < 60);
    await visit.page.locator(".log").hover();
    await visit.page.mouse.wheel(0, -600);
    await visit.page.waitForTimeout(200);
    const top = await visit.page.locator(".log").evaluate((log) => log.scrollTop);
    await visit.page.waitForTimeout(200);
    assert.equal(await visit.page.locator(".log").evaluate((log) => log.scrollTop), top);
    await visit.button("To the end").click();
    await visit.page.waitForTimeout(200);
    assert.ok((await fromEnd()) < 60);
    await visit.page.keyboard.press("Escape");
    await visit.idle();
  },

  "live measures while the answer comes": async ({ open, mock }) => {
    mock.respond = async (reply) => {
      await reply.begin();
      for (let i = 0; i < 1000 && !reply.closed; ++i) await reply.send([` w${i}`], 10);
    };
    const visit = await open();
    await visit.send("Long");
    await visit.page.waitForSelector(".rate:has-text('tokens/s')");
    await visit.page.waitForSelector(".answer :text('w60')");
    const rate = Number.parseFloat(await visit.page.locator(".rate").innerText());
    assert.ok(rate > 5 && rate <= 200, `${rate} tokens/s at 10 ms a token`);
    await visit.page.waitForSelector(".context:has-text('of 4096')");
    await visit.button("Stop").click();
    await visit.idle();
  },

  "assistive technology is told": async ({ open, mock }) => {
    let go;
    const waiting = new Promise((resolve) => (go = resolve));
    mock.respond = async (reply) => (await waiting, await reply.answer("Done."));
    const visit = await open();
    await visit.send("Hello");
    const log = visit.page.getByRole("log");
    assert.equal(await log.getAttribute("aria-live"), "polite");
    await visit.page.waitForSelector('[role=status]:has-text("The model is answering.")', { state: "attached" });
    assert.equal(await log.getAttribute("aria-busy"), "true");
    go();
    await visit.page.waitForSelector('[role=status]:has-text("Answer complete.")', { state: "attached" });
    assert.equal(await log.getAttribute("aria-busy"), "false");
    const unnamed = await visit.page.evaluate(() =>
      [...document.querySelectorAll("button, input, textarea, select")]
        .filter((element) => !(element.getAttribute("aria-label") || element.textContent.trim() || element.labels?.length))
        .map(({ outerHTML }) => outerHTML),
    );
    assert.deepEqual(unnamed, []);
  },

  "focus is visible wherever it goes": async ({ open }) => {
    const visit = await open();
    await visit.ask("Hello");
    const invisible = [];
    for (let i = 0; i < 20; ++i) {
      await visit.page.keyboard.press("Tab");
      const seen = await visit.page.evaluate(() => {
        const element = document.activeElement;
        if (element === document.body) return null;
        const style = getComputedStyle(element);
        const box = element.closest(".box");
        const outlined = style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) > 0;
        const framed = box !== null && getComputedStyle(box).borderColor === getComputedStyle(document.querySelector(".flame")).fill;
        return outlined || framed ? null : element.outerHTML.slice(0, 120);
      });
      if (seen) invisible.push(seen);
    }
    assert.deepEqual(invisible, []);
  },
};
