// What the page sends and shows of answers that a mock of the server scripts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const completions = (mock) => mock.requests.filter(({ method }) => method === "POST");

export const chatCases = {
  "the request carries the conversation and the settings": async ({ open, mock }) => {
    const visit = await open();
    await visit.button("Settings").click();
    await visit.page.getByLabel("System prompt").fill("Be brief.");
    await visit.page.getByLabel("Temperature").fill("0.7");
    await visit.page.getByLabel("Top k").fill("20");
    await visit.page.getByLabel("Top p").fill("7");
    assert.match(await visit.page.locator(".wrong").innerText(), /0 to 1/);
    await visit.page.getByLabel("Stop strings").fill("END");
    await visit.page.keyboard.press("Escape");
    await visit.ask("One");
    await visit.ask("Two");
    const [first, second] = completions(mock).map(({ body }) => body);
    const common = {
      model: "mock/model",
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
      infernum: { timings: true },
      temperature: 0.7,
      top_k: 20,
      stop: ["END"],
    };
    assert.deepEqual(first, {
      ...common,
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "One" },
      ],
    });
    const answer = { role: "assistant", content: "A short answer from the mock." };
    assert.deepEqual(second.messages, [...first.messages, answer, { role: "user", content: "Two" }]);
  },

  "the chosen model answers": async ({ open, mock }) => {
    mock.models.push({ id: "other/model", max_model_len: 100 });
    const visit = await open();
    await visit.page.getByLabel("Model").selectOption("other/model");
    await visit.ask("Hi");
    assert.equal(completions(mock)[0].body.model, "other/model");
    assert.match(await visit.page.locator(".context").innerText(), /context 26 of 100/);
    await visit.page.reload();
    await visit.page.waitForFunction(() => document.querySelector(".model").value === "other/model");
  },

  "Markdown comes as it streams": async ({ open, mock }) => {
    let go;
    const waiting = new Promise((resolve) => (go = resolve));
    mock.respond = async (reply) => {
      await reply.begin();
      await reply.send(["## Title\n\nSome **bold** text.\n\n```python\ndef f(x):\n", "    return x\n"]);
      await waiting;
      await reply.send(["```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- [x] done\n- https://example.org/?a=1&b=2\n"]);
      await reply.end();
    };
    const visit = await open();
    await visit.send("Show me");
    await visit.page.waitForSelector(".markdown pre:has-text('return x')");
    assert.equal(await visit.page.locator(".markdown h2").innerText(), "Title");
    assert.equal(await visit.page.locator(".hljs-keyword").count(), 0, "code is coloured when it is complete");
    go();
    await visit.page.waitForSelector(".hljs-keyword:text('def')");
    await visit.page.waitForSelector(".markdown table td:text('2')");
    await visit.idle();
    assert.match(await visit.lastAnswer.innerText(), /☑ done/);
    const link = visit.lastAnswer.locator("a");
    assert.equal(await link.getAttribute("href"), "https://example.org/?a=1&b=2");
    assert.equal(await link.getAttribute("rel"), "noopener noreferrer nofollow");
    assert.equal(await link.getAttribute("target"), "_blank");
    await visit.page.locator(".copy-code").click();
    await visit.page.waitForSelector(".copy-code:text('Copied')");
    assert.equal(await visit.page.evaluate(() => navigator.clipboard.readText()), "def f(x):\n    return x\n".trimEnd());
  },

  "a character cut over packets is whole": async ({ open, mock }) => {
    mock.respond = async (reply) => {
      await reply.begin();
      const event = Buffer.from(
        `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: "a 😀 é\u2028z" }, finish_reason: null }] })}\n\n`,
      );
      for (const byte of event) {
        reply.response.write(Buffer.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      reply.response.write(": ping\n\n");
      await reply.end();
    };
    const visit = await open();
    await visit.ask("Cut");
    assert.equal((await visit.lastAnswer.locator(".markdown").textContent()).trim(), "a 😀 é\u2028z");
  },

  "reasoning is folded": async ({ open, mock }) => {
    mock.respond = (reply) => reply.answer("Four.", { reasoning: "Two and two make four, I think." });
    const visit = await open();
    await visit.ask("2 + 2?");
    const details = visit.lastAnswer.locator(".reasoning");
    assert.equal(await details.getAttribute("open"), null);
    await details.locator("summary").click();
    await details.locator("text=I think").waitFor();
    assert.equal(await visit.lastAnswer.locator(":scope > .markdown").innerText(), "Four.");
    await visit.ask("And more?");
    assert.ok(!JSON.stringify(completions(mock)[1].body).includes("I think"), "reasoning is not sent back");
  },

  "where the time went unfolds": async ({ open }) => {
    const visit = await open();
    await visit.ask("Hello");
    const stats = visit.lastAnswer.locator(".stats");
    assert.match(await stats.innerText(), /^6 tokens/);
    await stats.locator("summary").click();
    assert.match(await stats.innerText(), /waited 0\.3 ms · prompt 34 ms \(16 of 20 tokens cached\) · answer 1\.51 s/);
  },

  "conversations: new, open, delete, undo, export": async ({ open }) => {
    const visit = await open();
    await visit.ask("About foxes");
    await visit.button("New conversation").click();
    await visit.ask("About hares");
    const titles = () => visit.page.locator(".conversations .open").allInnerTexts();
    assert.deepEqual(await titles(), ["About hares", "About foxes"]);
    await visit.button("About foxes").first().click();
    await visit.page.waitForSelector(".bubble:text('About foxes')");
    const [download] = await Promise.all([visit.page.waitForEvent("download"), visit.button("Export as JSON").click()]);
    const exported = JSON.parse(readFileSync(await download.path(), "utf8"));
    assert.deepEqual(
      exported.messages.map(({ role, content }) => [role, content]),
      [
        ["user", "About foxes"],
        ["assistant", "A short answer from the mock."],
      ],
    );
    await visit.page.getByRole("button", { name: "Delete: About foxes" }).click();
    await visit.page.waitForSelector(".welcome");
    assert.deepEqual(await titles(), ["About hares"]);
    await visit.button("Undo").click();
    await visit.page.waitForSelector(".bubble:text('About foxes')");
    assert.equal((await titles()).length, 2);
    await visit.page.reload();
    await visit.page.waitForSelector(".bubble:text('About foxes')");
  },

  "leaving in the middle of an answer keeps what had come": async ({ open, mock }) => {
    mock.respond = async (reply) => {
      await reply.begin();
      await reply.send(["So far"]);
      await new Promise((resolve) => reply.response.on("close", resolve));
    };
    const visit = await open();
    await visit.send("Go on");
    await visit.page.waitForSelector(".answer :text('So far')");
    await visit.page.reload();
    await visit.page.waitForSelector(".answer :text('So far')");
    assert.match(await visit.lastAnswer.locator(".stats").innerText(), /^interrupted/);
  },

  "a model without a chat template continues text": async ({ open, mock }) => {
    mock.respond = (reply) => {
      if (reply.chat) return reply.error(400, { message: "mock/model has no chat template", code: "no_chat_template" });
      return reply.answer(" upon a time there was <b>a fox</b>.", { finish: "length" });
    };
    const visit = await open();
    await visit.ask("Once");
    const text = visit.page.locator(".running-text");
    await text.waitFor();
    await visit.page.waitForSelector(".document .stats");
    assert.equal(await text.innerText(), "Once upon a time there was <b>a fox</b>.");
    assert.match(await visit.page.locator(".document .stats").innerText(), /cut at the token limit/);
    // Enter in the empty field goes on from there.
    await visit.input.press("Enter");
    await visit.page.waitForFunction(() => document.querySelectorAll(".running-text .assistant").length === 2);
    await visit.idle();
    assert.equal(completions(mock).at(-1).body.prompt, "Once upon a time there was <b>a fox</b>.");
    await visit.button("New conversation").click();
    await visit.page.waitForSelector(".welcome h1:text('Begin a text')");
    await visit.button("Token probabilities").click();
    await visit.ask("Twice");
    assert.equal(completions(mock).at(-1).body.logprobs, 5);
    await visit.page.locator(".token").nth(1).hover();
    await visit.page.waitForSelector(".card .row.chosen");
  },
};
