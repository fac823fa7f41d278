// Counting and timing of an answer, and reading of the chunks it comes in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readChunk } from "../api/chunk";
import { retrySeconds } from "../api/client";
import { ApiError, type Delta } from "../api/types";
import { Answer, contextTokens, roomLeft, tokensPerSecond } from "./answer";
import { newConversation, withMessage } from "./conversation";

const nothing: Delta = { content: "", reasoning: "", tokens: [], finish: null, usage: null, bill: null };

test("the first token starts the clock; the role chunk does not", () => {
  const answer = new Answer(1000);
  answer.add(nothing, 1100);
  assert.equal(answer.snapshot().stats, undefined);
  for (let i = 0; i < 5; ++i) answer.add({ ...nothing, content: "a" }, 1500 + i * 100);
  const { content, stats } = answer.snapshot();
  assert.equal(content, "aaaaa");
  assert.deepEqual(stats, { promptTokens: null, completionTokens: 5, firstTokenSeconds: 0.5, decodeSeconds: 0.4 });
  assert.equal(tokensPerSecond(stats!), 10);
  const bill = { queue_ms: 0, prefill_ms: 0, decode_ms: 200, prompt_tokens: 1, cached_tokens: 0, preemptions: 0 };
  assert.equal(tokensPerSecond({ ...stats!, bill }), 20);
});

test("usage corrects the count of chunks", () => {
  const answer = new Answer(0);
  answer.add({ ...nothing, content: "two tokens" }, 10);
  answer.add({ ...nothing, finish: "stop" }, 20);
  answer.add({ ...nothing, usage: { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 } }, 20);
  const message = { id: "a", role: "assistant" as const, content: "", ...answer.snapshot() };
  assert.equal(message.finish, "stop");
  assert.equal(contextTokens(withMessage(newConversation("chat", ""), message)), 11);
});

test("an answer under way adds to the context of the one before", () => {
  const stats = { promptTokens: 20, completionTokens: 10, firstTokenSeconds: 0, decodeSeconds: 1 };
  let talk = withMessage(newConversation("chat", ""), { id: "1", role: "assistant", content: "", stats });
  assert.equal(contextTokens(newConversation("chat", "")), null);
  talk = withMessage(talk, { id: "2", role: "assistant", content: "", stats: { ...stats, promptTokens: null, completionTokens: 3 } });
  assert.equal(contextTokens(talk), 33);
  assert.equal(roomLeft(talk, 100), 67);
  assert.equal(roomLeft(withMessage(talk, { id: "3", role: "user", content: "über" }), 100), 61);
  assert.equal(roomLeft(talk, undefined), null);
});

test("chunks of chat, with probabilities", () => {
  const top_logprobs = [
    { token: "é", logprob: -0.1, bytes: [195, 169] },
    { token: "\ufffd", logprob: -9999, bytes: [195] },
  ];
  const logprobs = { content: [{ token: "é", logprob: -0.1, bytes: [195, 169], top_logprobs }], refusal: null };
  const delta = readChunk(JSON.stringify({ choices: [{ index: 0, delta: { content: "é" }, logprobs, finish_reason: null }], usage: null }));
  assert.equal(delta.content, "é");
  assert.deepEqual(delta.tokens, [{ token: "é", logprob: -0.1, bytes: [195, 169], special: false, top: top_logprobs }]);
  assert.equal(readChunk('{"choices":[{"delta":{"reasoning_content":"hm"}}]}').reasoning, "hm");
  assert.deepEqual(readChunk('{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}').usage?.total_tokens, 3);
});

test("special tokens and the bill", () => {
  const logprobs = { content: [{ token: "<|im_end|>", logprob: -1, bytes: null, top_logprobs: [] }], refusal: null };
  assert.equal(readChunk(JSON.stringify({ choices: [{ delta: {}, logprobs }] })).tokens[0]?.special, true);
  const timings = {
    queue_ms: 1,
    prefill_ms: 2,
    decode_ms: 3,
    total_ms: 6,
    prompt_tokens: 9,
    cached_tokens: 4,
    cache_limit: "none",
    preemptions: 0,
  };
  const { bill } = readChunk(JSON.stringify({ choices: [], infernum: { timings } }));
  assert.deepEqual(bill, { queue_ms: 1, prefill_ms: 2, decode_ms: 3, prompt_tokens: 9, cached_tokens: 4, preemptions: 0 });
});

test("chunks of completions, with probabilities", () => {
  const logprobs = { tokens: [" a"], token_logprobs: [-1], top_logprobs: [{ " b": -2, " a": -1 }], text_offset: [0] };
  const delta = readChunk(JSON.stringify({ choices: [{ index: 0, text: " a", logprobs, finish_reason: "length" }] }));
  assert.deepEqual([delta.content, delta.finish, delta.tokens[0]?.top.map(({ token }) => token)], [" a", "length", [" a", " b"]]);
});

test("errors and nonsense in a stream", () => {
  assert.throws(
    () => readChunk('{"error":{"message":"broken","type":"server_error","param":null,"code":"engine_error"}}'),
    (error) => error instanceof ApiError && error.code === "engine_error",
  );
  assert.throws(() => readChunk("{"), SyntaxError);
  for (const data of [
    "null",
    "3",
    "[]",
    '{"choices":{}}',
    '{"choices":[3]}',
    '{"choices":[{"delta":{"content":4},"logprobs":{"content":[null,5]}}]}',
  ]) {
    assert.equal(readChunk(data).content, "", data);
  }
});

test("Retry-After in seconds or as a date", () => {
  assert.equal(retrySeconds("3"), 3);
  assert.equal(retrySeconds(null), null);
  assert.equal(retrySeconds("soon"), null);
  assert.equal(retrySeconds("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
});
