// What the page says and does when the server refuses, loads, breaks or vanishes.
import assert from "node:assert/strict";

const failOnce = (mock, fail) => {
  let failed = false;
  const otherwise = mock.respond;
  mock.respond = (reply) => (failed ? otherwise(reply) : ((failed = true), fail(reply)));
};

/** Retries by the button of the error and expects an answer. */
async function retrySucceeds(visit) {
  await visit.page.locator(".error").getByRole("button", { name: "Retry" }).click();
  await visit.page.waitForSelector(".answer .markdown:has-text('A short answer')");
  assert.equal(await visit.answers.count(), 1);
  assert.equal(await visit.page.locator(".error").count(), 0);
}

export const errorCases = {
  "401 asks for the key and sends it": async ({ open, mock }) => {
    const refuse = (reply) => {
      if (reply.request.headers.authorization === "Bearer secret-key") return false;
      reply.error(
        401,
        { message: "Invalid API key.", type: "authentication_error", code: "invalid_api_key" },
        { "WWW-Authenticate": "Bearer" },
      );
      return true;
    };
    mock.respondModels = refuse;
    const answer = mock.respond;
    mock.respond = async (reply) => refuse(reply) || (await answer(reply));
    const visit = await open();
    const field = visit.page.getByLabel("API key", { exact: true }).locator("input, :scope").last();
    await visit.page.waitForSelector("dialog[open] input[type=password]");
    await visit.page.keyboard.press("Escape");
    await visit.page.waitForSelector(".banner.locked");
    await visit.ask("Hello");
    await visit.page.waitForSelector("dialog[open] input[type=password]");
    assert.match(await visit.lastAnswer.locator(".error").innerText(), /Invalid API key/);
    await field.fill("secret-key");
    await field.press("Enter");
    await visit.page.waitForSelector(".answer .markdown:has-text('A short answer')");
    await visit.page.waitForSelector(".banner", { state: "detached" });
    const kept = await visit.page.evaluate(() => [
      JSON.stringify({ ...localStorage }).includes("secret-key"),
      JSON.stringify({ ...sessionStorage }).includes("secret-key"),
    ]);
    assert.deepEqual(kept, [false, true], "the key is kept for the tab alone");
  },

  "429 shows the message and can be retried": async ({ open, mock }) => {
    failOnce(mock, (reply) =>
      reply.error(429, { message: "The queue is full.", type: "rate_limit_error", code: "queue_full" }, { "Retry-After": "7" }),
    );
    const visit = await open();
    await visit.ask("Hello");
    assert.match(await visit.page.locator(".error").innerText(), /The queue is full\..*7 s/);
    await retrySucceeds(visit);
  },

  "503 while the model loads: the page waits, then answers": async ({ open, mock }) => {
    const loading = (reply) => (
      reply.error(
        503,
        { message: "The model is being loaded: 40 %.", type: "unavailable_error", code: "model_loading" },
        { "Retry-After": "1" },
      ),
      true
    );
    mock.respondModels = loading;
    const visit = await open();
    await visit.page.waitForSelector(".banner.loading:has-text('40 %')");
    failOnce(mock, loading);
    await visit.send("Hello");
    await visit.page.waitForTimeout(300);
    assert.equal(await visit.page.locator(".error").count(), 0);
    mock.respondModels = null;
    await visit.page.waitForSelector(".answer .markdown:has-text('A short answer')");
    await visit.page.waitForSelector(".banner", { state: "detached" });
    await visit.page.waitForFunction(() => document.querySelector(".model").value === "mock/model");
  },

  "an error inside the stream keeps what had come": async ({ open, mock }) => {
    failOnce(mock, async (reply) => {
      await reply.begin();
      await reply.send(["Half an ans"]);
      await reply.event({ error: { message: "The engine failed.", type: "server_error", param: null, code: "engine_error" } });
      await reply.event("[DONE]");
      reply.response.end();
    });
    const visit = await open();
    await visit.ask("Hello");
    assert.equal(await visit.lastAnswer.locator(".markdown").innerText(), "Half an ans");
    assert.match(await visit.page.locator(".error").innerText(), /The engine failed\./);
    await retrySucceeds(visit);
  },

  "a connection that breaks is told": async ({ open, mock }) => {
    failOnce(mock, async (reply) => {
      await reply.begin();
      await reply.send(["Cut he"]);
      await new Promise((resolve) => setTimeout(resolve, 50));
      reply.response.destroy();
    });
    const visit = await open();
    await visit.ask("Hello");
    assert.match(await visit.page.locator(".error").innerText(), /connection was lost/);
    await retrySucceeds(visit);
  },

  "an answer that ends without a reason is no answer": async ({ open, mock }) => {
    failOnce(mock, async (reply) => {
      await reply.begin();
      await reply.send(["Part"]);
      await reply.event("[DONE]");
      reply.response.end();
    });
    const visit = await open();
    await visit.ask("Hello");
    assert.match(await visit.page.locator(".error").innerText(), /without a reason/);
    await retrySucceeds(visit);
  },

  "a server that is gone is shown, and found again": async ({ open, mock }) => {
    const visit = await open();
    const { port } = mock.server.address();
    await mock.stop();
    await visit.ask("Hello");
    assert.match(await visit.page.locator(".error").innerText(), /does not answer/);
    await visit.page.waitForSelector(".banner.gone");
    mock.server = null;
    const { url } = mock;
    await mock.start(port);
    assert.equal(mock.url, url);
    await visit.page.waitForSelector(".banner", { state: "detached" });
    await retrySucceeds(visit);
  },

  "a page of HTML in place of JSON is no crash": async ({ open, mock }) => {
    failOnce(mock, (reply) => reply.response.writeHead(502, { "Content-Type": "text/html" }).end("<h1>Bad gateway</h1>"));
    const visit = await open();
    await visit.ask("Hello");
    assert.match(await visit.page.locator(".error").innerText(), /status 502/);
    failOnce(mock, (reply) => reply.response.writeHead(200, { "Content-Type": "text/event-stream" }).end("data: {broken\n\n"));
    await visit.page.locator(".error").getByRole("button", { name: "Retry" }).click();
    await visit.page.waitForSelector(".error:has-text('no answer')");
  },

  "storage that is full is told": async ({ open }) => {
    const visit = await open();
    await visit.page.evaluate(() => {
      Storage.prototype.setItem = () => {
        throw new DOMException("full", "QuotaExceededError");
      };
    });
    await visit.ask("Hello");
    await visit.page.waitForSelector(".notice:has-text('will not be kept')");
    assert.equal(await visit.answers.count(), 1);
  },

  "storage that holds nonsense is read as empty": async ({ open }) => {
    const visit = await open();
    await visit.page.evaluate(() => {
      localStorage.setItem("infernum.conversations", '[{"id":"a","title":"Kept","updated":1},{"id":5},null,"x"]');
      localStorage.setItem(
        "infernum.conversation.a",
        '{"messages":[null,{"id":"m","role":"user","content":"hello"},{"role":"assistant"},7,' +
          '{"id":"n","role":"assistant","content":"hi","finish":4,"error":{"message":{}},"stats":{"completionTokens":"x","bill":[]}}]}',
      );
      localStorage.setItem("infernum.current", '"a"');
      localStorage.setItem("infernum.settings", "{broken");
    });
    await visit.page.reload();
    await visit.page.waitForSelector(".bubble:text('hello')");
    assert.deepEqual(await visit.page.locator(".conversations .open").allInnerTexts(), ["Kept"]);
    assert.match(await visit.lastAnswer.innerText(), /^hi\s+interrupted$/);
  },
};
