// One chunk of a streamed answer, turned from the wire's two shapes (chat, completions) into a Delta. Nothing of the input is trusted.
import { ApiError, type Bill, type Candidate, type Delta, type TokenInfo, type Usage } from "./types";

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string => (typeof value === "string" ? value : "");
const number = (value: unknown, otherwise: number): number => (typeof value === "number" && Number.isFinite(value) ? value : otherwise);

/** Reads `{"error": {...}}`; null where the value is no such thing. */
export function errorOf(value: unknown, status: number, retryAfterSeconds: number | null): ApiError | null {
  if (!isObject(value) || !value.error) return null;
  const error = isObject(value.error) ? value.error : { message: value.error };
  return new ApiError(
    text(error.message) || `The server answered with status ${status}.`,
    status,
    text(error.code) || null,
    retryAfterSeconds,
  );
}

function candidate(value: unknown): Candidate {
  const entry = isObject(value) ? value : {};
  const bytes = Array.isArray(entry.bytes) ? entry.bytes.map((byte) => number(byte, 0) & 255) : null;
  return { token: text(entry.token), logprob: number(entry.logprob, -9999), bytes };
}

/** choices[].logprobs of a chat chunk: {content: [{token, logprob, bytes, top_logprobs}]}. */
function chatTokens(logprobs: unknown): TokenInfo[] {
  if (!isObject(logprobs)) return [];
  return list(logprobs.content).map((entry) => ({
    ...candidate(entry),
    special: isObject(entry) && entry.bytes === null,
    top: list(isObject(entry) ? entry.top_logprobs : null).map(candidate),
  }));
}

/** choices[].logprobs of a completion chunk: parallel arrays, alternatives as a map from text to logprob. */
function legacyTokens(logprobs: unknown): TokenInfo[] {
  if (!isObject(logprobs)) return [];
  const values = list(logprobs.token_logprobs);
  const tops = list(logprobs.top_logprobs);
  return list(logprobs.tokens).map((token, i) => {
    const top = isObject(tops[i]) ? Object.entries(tops[i] as Json) : [];
    return {
      token: text(token),
      logprob: number(values[i], -9999),
      bytes: null,
      special: false,
      top: top
        .map(([name, logprob]) => ({ token: name, logprob: number(logprob, -9999), bytes: null }))
        .sort((a, b) => b.logprob - a.logprob),
    };
  });
}

function usageOf(value: unknown): Usage | null {
  if (!isObject(value)) return null;
  const prompt_tokens = number(value.prompt_tokens, 0);
  const completion_tokens = number(value.completion_tokens, 0);
  return { prompt_tokens, completion_tokens, total_tokens: number(value.total_tokens, prompt_tokens + completion_tokens) };
}

function billOf(extra: unknown): Bill | null {
  const timings = isObject(extra) ? extra.timings : null;
  if (!isObject(timings)) return null;
  const names = ["queue_ms", "prefill_ms", "decode_ms", "prompt_tokens", "cached_tokens", "preemptions"] as const;
  return Object.fromEntries(names.map((name) => [name, number(timings[name], 0)])) as unknown as Bill;
}

/** Throws ApiError for an error event and SyntaxError for what is no JSON. */
export function readChunk(data: string): Delta {
  const chunk: unknown = JSON.parse(data);
  const error = errorOf(chunk, 200, null);
  if (error) throw error;
  const choices = isObject(chunk) ? list(chunk.choices) : [];
  const choice = isObject(choices[0]) ? choices[0] : {};
  const delta = isObject(choice.delta) ? choice.delta : null;
  return {
    content: delta ? text(delta.content) : text(choice.text),
    reasoning: delta ? text(delta.reasoning_content) || text(delta.reasoning) : "",
    tokens: delta ? chatTokens(choice.logprobs) : legacyTokens(choice.logprobs),
    finish: text(choice.finish_reason) || null,
    usage: isObject(chunk) ? usageOf(chunk.usage) : null,
    bill: isObject(chunk) ? billOf(chunk.infernum) : null,
  };
}
