// The official client for Node: what the fields of sampling do: choices, stops, seeds, logprobs, biases, penalties, limits.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat, collect, greedy, messages, own, story, texts, tokenize } from './openai_client.mjs';

test('n: choices differ, usage counts them all', async () => {
  const { choices, usage } = await chat({ ...story, n: 4, ignore_eos: true });
  assert.deepEqual(choices.map(({ index }) => index), [0, 1, 2, 3]);
  assert.ok(new Set(choices.map(({ message }) => message.content)).size > 1);
  assert.equal(usage.completion_tokens, 4 * 24);
  const chunks = await collect(await chat({ ...story, n: 4, ignore_eos: true, stream: true }));
  assert.deepEqual(texts(chunks), Object.fromEntries(choices.map(({ index, message }) => [index, message.content])));
  for (const i of [0, 1, 2, 3]) {
    const own = chunks.filter(({ choices }) => choices[0].index === i);
    assert.equal(own[0].choices[0].delta.role, 'assistant');
    assert.equal(own.filter(({ choices }) => choices[0].finish_reason).length, 1);
  }
});

test('stop', async () => {
  const plain = (await chat({ ...greedy, max_tokens: 40 })).choices[0].message.content;
  const word = plain.split(' ')[4];
  assert.ok(word, plain);
  for (const stop of [word, [word], ['never said', word]]) {
    const { choices } = await chat({ ...greedy, max_tokens: 40, stop });
    assert.equal(choices[0].message.content, plain.slice(0, plain.indexOf(word)));
    assert.equal(choices[0].finish_reason, 'stop');
    const chunks = await collect(await chat({ ...greedy, max_tokens: 40, stop, stream: true }));
    assert.equal(texts(chunks)[0], plain.slice(0, plain.indexOf(word)));
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
  }
  // Across the borders of tokens and of words.
  const middle = plain.slice(6, 17);
  assert.equal((await chat({ ...greedy, max_tokens: 40, stop: middle })).choices[0].message.content, plain.slice(0, plain.indexOf(middle)));
});

test('seed', async () => {
  const one = (await chat(story)).choices[0].message.content;
  assert.equal((await chat(story)).choices[0].message.content, one);
  assert.notEqual((await chat({ ...story, seed: 8 })).choices[0].message.content, one);
  const free = { messages, max_tokens: 24 };
  assert.notEqual((await chat(free)).choices[0].message.content, (await chat(free)).choices[0].message.content);
  const [a, b] = await Promise.all([chat(story), chat({ ...story, seed: 9 })]);
  assert.equal(a.choices[0].message.content, one, 'alone or in a batch');
  assert.notEqual(b.choices[0].message.content, one);
});

test('logprobs', async () => {
  const { choices } = await chat({ ...greedy, logprobs: true, top_logprobs: 5 });
  const { content, refusal } = choices[0].logprobs;
  assert.equal(refusal, null);
  assert.equal(content.length, 16);
  assert.equal(Buffer.from(content.flatMap(({ bytes }) => bytes)).toString(), choices[0].message.content);
  for (const { token, logprob, top_logprobs } of content) {
    assert.equal(top_logprobs.length, 5);
    assert.equal(top_logprobs[0].token, token);
    assert.equal(top_logprobs[0].logprob, logprob);
    const all = top_logprobs.map((top) => top.logprob);
    assert.deepEqual(all, [...all].sort((a, b) => b - a));
    const mass = all.reduce((sum, value) => sum + Math.exp(value), 0);
    assert.ok(mass > 0 && mass < 1.0001, String(mass));
  }
  const none = await chat({ ...greedy, logprobs: true });
  assert.ok(none.choices[0].logprobs.content.every(({ top_logprobs }) => top_logprobs.length === 0));
  const chunks = await collect(await chat({ ...greedy, logprobs: true, top_logprobs: 5, stream: true }));
  assert.deepEqual(chunks.flatMap(({ choices }) => choices[0].logprobs?.content ?? []), content);
});

test('logit_bias forces and bans', async () => {
  const [forced] = await tokenize(' fox');
  const { choices } = await chat({ messages, max_tokens: 4, logit_bias: { [forced]: 100 }, logprobs: true });
  assert.equal(new Set(choices[0].logprobs.content.map(({ token }) => token)).size, 1);
  const first = (await chat({ ...greedy, max_tokens: 1, logprobs: true })).choices[0].logprobs.content[0].token;
  const ids = await tokenize(first);
  const other = await chat({ ...greedy, max_tokens: 1, logit_bias: Object.fromEntries(ids.map((id) => [id, -100])), logprobs: true });
  assert.notEqual(other.choices[0].logprobs.content[0].token, first);
});

test('sampling fields have their effect', async () => {
  const plain = (await chat(greedy)).choices[0].message.content;
  for (const body of [{ temperature: 1.5, top_p: 1e-6 }, { temperature: 1.5, top_k: 1 }, { temperature: 2, min_p: 1 }]) {
    assert.equal((await chat({ messages, max_tokens: 16, ...body })).choices[0].message.content, plain, JSON.stringify(body));
  }
  const long = { ...greedy, max_tokens: 120, ignore_eos: true };
  const text = (await chat(long)).choices[0].message.content;
  for (const body of [{ presence_penalty: 2 }, { frequency_penalty: 2 }, { repetition_penalty: 1.8 }]) {
    assert.notEqual((await chat({ ...long, ...body })).choices[0].message.content, text, JSON.stringify(body));
  }
});

test('max_completion_tokens comes before max_tokens', async () => {
  const { usage } = await chat({ messages, max_completion_tokens: 3, max_tokens: 9, ignore_eos: true });
  assert.equal(usage.completion_tokens, 3);
});

test('min_tokens and ignore_eos', async () => {
  const { usage, choices } = await chat({ messages, max_tokens: 300, seed: 1, min_tokens: 299 });
  assert.ok(usage.completion_tokens >= 299, String(usage.completion_tokens));
  assert.match(choices[0].finish_reason, /^(stop|length)$/);
  assert.equal((await chat({ messages, max_tokens: 300, seed: 1, ignore_eos: true })).usage.completion_tokens, 300);
});
