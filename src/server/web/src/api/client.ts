// The calls the page makes, all to the server that it came from.
import { errorOf, readChunk } from "./chunk";
import { SseParser } from "./sse";
import { ApiError, ConnectionError, type Delta, type Model } from "./types";

/** Addresses are relative to the page, so that a proxy may serve both under a path. */
const address = (path: string) => new URL(path, document.baseURI).href;

export class Client {
  constructor(private readonly apiKey: () => string | null) {}

  async models(): Promise<Model[]> {
    const response = await this.call("v1/models", { method: "GET" });
    const body = (await response.json()) as { data?: unknown };
    if (!Array.isArray(body.data)) throw new ConnectionError("v1/models did not answer with a list of models.");
    return body.data.filter((model): model is Model => typeof model?.id === "string");
  }

  /** Streams an answer; ends without a Delta that has `finish` only by throwing. */
  async *stream(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<Delta> {
    const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
    const response = await this.call(path, { method: "POST", headers, body: JSON.stringify(body), signal });
    if (!response.body) throw new ConnectionError("The server sent no answer.");
    const reader = response.body.getReader();
    const parser = new SseParser();
    let finished = false;
    try {
      for (;;) {
        const { done, value } = await reader.read().catch((error: unknown) => {
          throw signal.aborted ? error : new ConnectionError("The connection was lost in the middle of the answer.");
        });
        if (done) break;
        for (const data of parser.push(value)) {
          if (data === "[DONE]") {
            if (!finished) throw new ConnectionError("The server ended the answer without a reason.");
            return;
          }
          const delta = readChunk(data);
          finished ||= delta.finish !== null;
          yield delta;
        }
      }
    } finally {
      // Tells the server that nobody reads on, also when the caller leaves the loop early.
      await reader.cancel().catch(() => undefined);
    }
    if (!finished) throw new ConnectionError("The connection was lost in the middle of the answer.");
  }

  private async call(path: string, init: RequestInit & { headers?: Record<string, string> }): Promise<Response> {
    const key = this.apiKey();
    const headers = key ? { ...init.headers, Authorization: `Bearer ${key}` } : init.headers;
    const options: RequestInit = { ...init, headers, cache: "no-store", credentials: "same-origin", referrerPolicy: "no-referrer" };
    const response = await fetch(address(path), options).catch((error: unknown) => {
      throw init.signal?.aborted ? error : new ConnectionError("The server does not answer.");
    });
    if (response.ok) return response;
    const retryAfter = retrySeconds(response.headers.get("Retry-After"));
    const value: unknown = await response.json().catch(() => null);
    throw (
      errorOf(value, response.status, retryAfter) ??
      new ApiError(`The server answered with status ${response.status}.`, response.status, null, retryAfter)
    );
  }
}

/** Retry-After in seconds, given as a number or as a date. */
export function retrySeconds(header: string | null): number | null {
  if (header === null || header.trim() === "") return null;
  const seconds = /^\d+(\.\d+)?$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}
