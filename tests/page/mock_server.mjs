// A server that speaks Infernum's wire format and does what a test tells it; it serves the built page with the headers of the real one.
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};
const policyHeader = new URL("../../src/server/web_files.h", import.meta.url);

/** The policy that the real server sends, read where it is defined. */
function contentSecurityPolicy() {
  const source = readFileSync(policyHeader, "utf8");
  const definition = /content_security_policy\s*=([^;]*(?:"[^"]*"\s*)+);/.exec(source);
  if (!definition) throw new Error("web_files.h defines no content_security_policy");
  return [...definition[1].matchAll(/"([^"]*)"/g)].map(([, part]) => part).join("");
}

const bytesOf = (text) => [...Buffer.from(text, "utf8")];
/** A token with its probability and its alternatives, as chat sends them. */
export const token = (text, logprob = -0.05, others = []) => {
  const own = { token: text, logprob, bytes: bytesOf(text) };
  return { ...own, top_logprobs: [own, ...others] };
};
const words = (text) => text.match(/\s*\S+|\s+$/g) ?? [];

const timings = {
  queue_ms: 0.25,
  prefill_ms: 34,
  decode_ms: 1512.5,
  total_ms: 1547,
  prompt_tokens: 20,
  cached_tokens: 16,
  cache_limit: "none",
  generated_tokens: 6,
  preemptions: 0,
};

/** The means by which a test answers one request. */
class Reply {
  constructor(request, body, response) {
    Object.assign(this, { request, body, response, closed: false, sent: 0 });
    this.release = () => undefined;
    response.on("drain", () => this.release());
    response.on("close", () => {
      this.closed = true;
      this.release();
    });
  }

  error(status, error, headers = {}) {
    this.response.writeHead(status, { "Content-Type": "application/json", ...headers });
    this.response.end(JSON.stringify({ error: { type: "invalid_request_error", param: null, code: null, ...error } }));
  }

  async event(data) {
    if (this.closed) return;
    if (!this.response.headersSent)
      this.response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache" });
    if (!this.response.write(`data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`))
      await new Promise((resolve) => (this.release = resolve));
  }

  get chat() {
    return Array.isArray(this.body.messages);
  }

  chunk(choice) {
    const object = this.chat ? "chat.completion.chunk" : "text_completion";
    return this.event({
      id: "chatcmpl-1",
      object,
      created: 1,
      model: this.body.model,
      choices: [{ index: 0, finish_reason: null, ...choice }],
      ...(this.body.stream_options?.include_usage ? { usage: this.body.stream_options.continuous_usage_stats ? this.usage : null } : {}),
    });
  }

  get usage() {
    return { prompt_tokens: 20, completion_tokens: this.sent, total_tokens: 20 + this.sent };
  }

  /** `pieces`: texts, or tokens with probabilities. */
  async send(pieces, delayMs = 0, field = "content") {
    for (const piece of pieces) {
      if (this.closed) return;
      this.sent += 1;
      const text = typeof piece === "string" ? piece : piece.token;
      const info = typeof piece === "string" ? token(piece) : piece;
      if (this.chat)
        await this.chunk({ delta: { [field]: text }, ...(this.body.logprobs ? { logprobs: { content: [info], refusal: null } } : {}) });
      else await this.chunk({ text, ...(this.body.logprobs ? { logprobs: legacy(info) } : {}) });
      if (delayMs) await sleep(delayMs);
    }
  }

  async begin() {
    if (this.chat) await this.chunk({ delta: { role: "assistant", content: "" } });
  }

  async end(finish_reason = "stop") {
    await this.chunk(this.chat ? { delta: {}, finish_reason } : { text: "", finish_reason });
    if (this.body.stream_options?.include_usage) {
      const extra = this.body.infernum?.timings ? { infernum: { timings } } : {};
      const object = this.chat ? "chat.completion.chunk" : "text_completion";
      await this.event({ id: "chatcmpl-1", object, created: 1, model: this.body.model, choices: [], usage: this.usage, ...extra });
    }
    await this.event("[DONE]");
    this.response.end();
  }

  /** A whole answer: role, tokens, reason, usage, [DONE]. */
  async answer(content, { delayMs = 0, reasoning = "", finish = "stop" } = {}) {
    const pieces = typeof content === "string" ? words(content) : content;
    await this.begin();
    await this.send(words(reasoning), delayMs, "reasoning_content");
    await this.send(pieces, delayMs);
    await this.end(finish);
  }
}

function legacy(info) {
  return {
    tokens: [info.token],
    token_logprobs: [info.logprob],
    top_logprobs: [Object.fromEntries(info.top_logprobs.map(({ token: name, logprob }) => [name, logprob]))],
    text_offset: [0],
  };
}

export class MockServer {
  models = [];
  requests = [];
  /** async (reply) => ...: answers a completion request. */
  respond = null;
  /** async (reply) => true where it answered GET /v1/models itself. */
  respondModels = null;

  constructor(dist) {
    this.dist = dist;
    this.policy = contentSecurityPolicy();
    this.reset();
  }

  reset() {
    this.models = [{ id: "mock/model", object: "model", created: 1, owned_by: "infernum", max_model_len: 4096 }];
    this.requests = [];
    this.respond = (reply) => reply.answer("A short answer from the mock.");
    this.respondModels = null;
  }

  async start(port = 0) {
    this.server = createServer((request, response) => this.handle(request, response).catch((error) => response.destroy(error)));
    this.server.listen(port, "127.0.0.1");
    await once(this.server, "listening");
    this.url = `http://127.0.0.1:${this.server.address().port}/`;
  }

  async stop() {
    const closed = once(this.server, "close");
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  async handle(request, response) {
    const path = decodeURIComponent(new URL(request.url, "http://x").pathname);
    if (!path.startsWith("/v1/")) return this.file(path, response);
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = chunks.length ? JSON.parse(Buffer.concat(chunks)) : {};
    this.requests.push({ method: request.method, path, body, headers: request.headers });
    const reply = new Reply(request, body, response);
    if (path === "/v1/models") {
      if (this.respondModels && (await this.respondModels(reply))) return;
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ object: "list", data: this.models }));
    } else if (request.method === "POST" && (path === "/v1/chat/completions" || path === "/v1/completions")) {
      if (request.headers["content-type"] !== "application/json") reply.error(415, { message: "Content-Type must be application/json" });
      else await this.respond(reply);
    } else {
      reply.error(404, { message: `no such path: ${path}`, code: "unknown_url" });
    }
  }

  file(path, response) {
    const name = join(this.dist, normalize(path === "/" ? "/index.html" : path));
    if (!name.startsWith(this.dist) || !existsSync(name)) {
      response.writeHead(404).end();
      return;
    }
    const headers = {
      "Content-Type": types[extname(name)] ?? "application/octet-stream",
      "Content-Security-Policy": this.policy,
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
    };
    response.writeHead(200, headers).end(readFileSync(name));
  }
}
