// What must hold with any server and model: they look at the page's behaviour, not at the words of the answer.
import assert from "node:assert/strict";
import { phone } from "./browser.mjs";

const words = async (locator) => (await locator.innerText()).trim();

export const anyServerCases = {
  "chat: a question is answered and measured": async ({ open }) => {
    const visit = await open();
    await visit.ask("Tell me of a fox.");
    assert.notEqual(await words(visit.lastAnswer.locator(".markdown")), "");
    assert.match(await words(visit.lastAnswer.locator(".stats")), /\d+ tokens/);
    assert.match(await words(visit.page.locator(".context")), /context \d+ of \d+ tokens/);
    await visit.ask("And of a hare?");
    assert.equal(await visit.answers.count(), 2);
  },

  "reload keeps the conversation": async ({ open }) => {
    const visit = await open();
    await visit.ask("Remember this.");
    const before = await words(visit.page.locator(".log .column"));
    await visit.page.reload();
    await visit.page.waitForSelector(".answer .markdown > div");
    assert.equal(await words(visit.page.locator(".log .column")), before);
    assert.match(await words(visit.page.locator(".conversations")), /Remember this/);
  },

  "retry answers again in place": async ({ open }) => {
    const visit = await open();
    await visit.ask("Once more.");
    await visit.lastAnswer.evaluate((answer) => (answer.dataset.old = "true"));
    await visit.lastAnswer.getByRole("button", { name: "Answer again" }).click();
    await visit.page.waitForSelector(".answer:not([data-old]) .stats");
    assert.equal(await visit.answers.count(), 1);
    assert.equal(await visit.page.locator(".user").count(), 1);
  },

  "editing a message drops what followed": async ({ open }) => {
    const visit = await open();
    await visit.ask("First question");
    await visit.ask("Second question");
    await visit.page.locator(".user").first().hover();
    await visit.page.locator(".user").first().getByRole("button", { name: "Edit and send again" }).click();
    const editor = visit.page.getByLabel("Edit the message");
    assert.equal(await editor.inputValue(), "First question");
    await editor.fill("Another question");
    await editor.press("Enter");
    await visit.page.waitForSelector(".bubble:text('Another question')");
    await visit.idle();
    assert.deepEqual(await visit.page.locator(".bubble").allInnerTexts(), ["Another question"]);
    assert.equal(await visit.answers.count(), 1);
  },

  "stop ends the answer at once": async ({ open, mock }) => {
    let vanished = null;
    if (mock) {
      mock.respond = async (reply) => {
        vanished = new Promise((resolve) => reply.response.on("close", resolve));
        await reply.begin();
        for (let i = 0; i < 2000 && !reply.closed; ++i) await reply.send([` word${i}`], 10);
      };
    }
    const visit = await open();
    await visit.send("Tell a very long story, with every detail.");
    await visit.page.waitForSelector(".answer .markdown > div:not(:empty)");
    await visit.page.keyboard.press("Escape");
    await visit.idle();
    assert.match(await words(visit.lastAnswer.locator(".stats")), /^stopped/);
    // The server sees the connection go.
    await vanished;
    const kept = await words(visit.lastAnswer.locator(".markdown"));
    assert.notEqual(kept, "");
    await visit.page.waitForTimeout(100);
    assert.equal(await words(visit.lastAnswer.locator(".markdown")), kept);
  },

  "probabilities: hovering a token shows its alternatives": async ({ open }) => {
    const visit = await open();
    await visit.button("Token probabilities").click();
    await visit.ask("Tell me of a fox.");
    const tokens = visit.lastAnswer.locator(".token");
    assert.ok((await tokens.count()) > 1, "several tokens");
    await tokens.first().hover();
    const card = visit.page.locator(".card");
    assert.match(await words(card), /\d %/);
    assert.ok((await card.locator(".row").count()) >= 1);
    assert.equal(await card.locator(".row.chosen").count(), 1);
  },

  "a phone: nothing is cut off, everything is within reach": async ({ open }) => {
    const visit = await open({ viewport: phone });
    await visit.assertFitsWidth();
    await visit.ask("Tell me of a fox.");
    await visit.assertFitsWidth();
    await visit.page.locator(".header").getByRole("button", { name: "Conversations" }).click();
    await visit.page.locator(".sidebar .current .open").waitFor();
    await visit.page.waitForTimeout(250);
    await visit.assertFitsWidth();
    await visit.button("New conversation").click();
    await visit.page.waitForSelector(".welcome");
    await visit.button("Settings").click();
    await visit.page.getByLabel("Temperature").fill("0.5");
    await visit.assertFitsWidth();
    await visit.button("Dark").click();
    await visit.button("Close").click();
    await visit.button("Keyboard shortcuts").click();
    await visit.assertFitsWidth();
  },

  "the keyboard alone suffices": async ({ open }) => {
    const visit = await open();
    const keys = visit.page.keyboard;
    // The message field has the focus from the start.
    await keys.type("First line");
    await keys.press("Shift+Enter");
    await keys.type("second line");
    await keys.press("Enter");
    await visit.page.waitForSelector(".answer .stats");
    assert.deepEqual(await visit.page.locator(".bubble").allInnerTexts(), ["First line\nsecond line"]);
    await keys.press("ArrowUp");
    await keys.press("Control+A");
    await keys.type("Edited");
    await keys.press("Enter");
    await visit.page.waitForSelector(".bubble:text('Edited')");
    await visit.idle();
    await keys.press("Control+/");
    await visit.page.waitForSelector("dialog[open] .keys");
    const licences = await visit.page.evaluate(async () => (await fetch(document.querySelector("dialog a").href)).text());
    for (const library of ["preact", "marked", "dompurify", "highlight.js"]) assert.ok(licences.includes(`${library} `), library);
    await keys.press("Escape");
    await visit.page.waitForSelector("dialog", { state: "detached" });
    await keys.press("Alt+S");
    await visit.page.waitForSelector("dialog.sheet[open]");
    await keys.press("Escape");
    await visit.page.waitForSelector("dialog", { state: "detached" });
    await keys.press("Alt+N");
    await visit.page.waitForSelector(".welcome");
    await keys.type("typed at once");
    assert.equal(await visit.input.inputValue(), "typed at once");
  },
};
