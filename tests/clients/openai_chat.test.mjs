// The official client for Node: chats, whole and streamed, its helpers, messages.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat, collect, greedy, messages, own, story, texts } from './openai_client.mjs';

test('chat', async () => {
  const answer = await chat(story);
  assert.match(answer.id, /^chatcmpl-\w+$/);
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.model, own.model);
  assert.ok(Math.abs(answer.created - Date.now() / 1000) < 120);
  assert.match(answer.system_fingerprint, /\w/);
  const [choice] = answer.choices;
  assert.equal(answer.choices.length, 1);
  assert.equal(choice.index, 0);
  assert.equal(choice.message.role, 'assistant');
  assert.ok(choice.message.content.length > 10);
  assert.equal(choice.message.refusal, null);
  assert.equal(choice.logprobs, null);
  assert.ok(!('tool_calls' in choice.message));
  assert.match(choice.finish_reason, /^(stop|length)$/);
});

test('usage', async () => {
  const { usage, choices } = await chat({ ...story, ignore_eos: true });
  assert.equal(usage.completion_tokens, 24);
  assert.equal(usage.total_tokens, usage.prompt_tokens + 24);
  assert.equal(choices[0].finish_reason, 'length');
  assert.ok(usage.prompt_tokens > 5);
  assert.ok(usage.prompt_tokens_details.cached_tokens < usage.prompt_tokens);
  const longer = await chat({ ...story, messages: [{ role: 'system', content: 'You tell stories.' }, ...messages] });
  assert.ok(longer.usage.prompt_tokens > usage.prompt_tokens);
});

test('stream: order of the chunks', async () => {
  const chunks = await collect(await chat({ ...story, stream: true }));
  for (const key of ['id', 'created', 'model', 'system_fingerprint',
                     'object']) assert.equal(new Set(chunks.map((chunk) => chunk[key])).size, 1, key);
  assert.equal(chunks[0].object, 'chat.completion.chunk');
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  assert.ok(chunks.slice(1).every(({ choices }) => !('role' in choices[0].delta)));
  assert.ok(chunks.slice(0, -1).every(({ choices }) => choices[0].finish_reason === null));
  assert.deepEqual(chunks.at(-1).choices[0].delta, {});
  assert.match(chunks.at(-1).choices[0].finish_reason, /^(stop|length)$/);
  assert.ok(chunks.every((chunk) => !chunk.usage && chunk.choices.length === 1));
  for (const { choices } of chunks.slice(1)) for (const [key, value] of Object.entries(choices[0].delta)) assert.notEqual(value, null, key);
});

test('stream: the same text as without', async () => {
  for (const seed of [1, 2, 3]) {
    const whole = await chat({ ...story, seed });
    const chunks = await collect(await chat({ ...story, seed, stream: true }));
    assert.equal(texts(chunks)[0], whole.choices[0].message.content);
    assert.equal(chunks.at(-1).choices[0].finish_reason, whole.choices[0].finish_reason);
  }
});

test('stream: usage on request, last and alone', async () => {
  const whole = await chat(story);
  const chunks = await collect(await chat({ ...story, stream: true, stream_options: { include_usage: true } }));
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  for (const key of ['prompt_tokens', 'completion_tokens', 'total_tokens']) assert.equal(last.usage[key], whole.usage[key]);
  assert.ok(chunks.every((chunk) => chunk.usage === null));
});

test('stream: running usage', async () => {
  const chunks = await collect(await chat({ ...story, stream: true, stream_options: { include_usage: true,
      continuous_usage_stats: true } }));
  const counts = chunks.map(({ usage }) => usage.completion_tokens);
  assert.deepEqual(counts, [...counts].sort((a, b) => a - b));
  assert.ok(counts[0] <= 2 && counts.at(-1) > 2, String(counts));
});

test('helper: .stream() rebuilds the message', async () => {
  const whole = await chat(story);
  const stream = own.openai.chat.completions.stream({ model: own.model, ...story, stream_options: { include_usage: true } });
  let text = '';
  const seen = [];
  stream.on('content', (delta) => (text += delta)).on('content.done', () => seen.push('content.done')).on('end', () => seen.push('end'));
  const message = await stream.finalMessage();
  assert.equal(message.content, whole.choices[0].message.content);
  assert.equal(text, message.content);
  assert.equal(await stream.finalContent(), text);
  assert.equal((await stream.totalUsage()).completion_tokens, whole.usage.completion_tokens);
  assert.equal((await stream.finalChatCompletion()).choices[0].finish_reason, whole.choices[0].finish_reason);
  assert.deepEqual(seen, ['content.done', 'end']);
});

test('helper: .stream() with several choices and logprobs', async () => {
  const stream = own.openai.chat.completions.stream({ model: own.model, ...story, n: 3, logprobs: true, top_logprobs: 2 });
  const final = await stream.finalChatCompletion();
  const whole = await chat({ ...story, n: 3 });
  assert.deepEqual(final.choices.map(({ message }) => message.content), whole.choices.map(({ message }) => message.content));
  for (const { message, logprobs } of final.choices) assert.equal(Buffer.from(logprobs.content.flatMap(({ bytes }) => bytes)).toString(),
                                                                  message.content);
});

test('helper: a stream handed on as lines', async () => {
  const { Stream } = await import('openai/streaming');
  const whole = await chat(story);
  const lines = (await chat({ ...story, stream: true })).toReadableStream();
  const chunks = await collect(Stream.fromReadableStream(lines, new AbortController()));
  assert.equal(texts(chunks)[0], whole.choices[0].message.content);
});

test('messages: roles, parts, null and unknown fields', async () => {
  const text = (await chat(greedy)).choices[0].message.content;
  const parts = await chat({ ...greedy, messages: [{ role: 'user', content: [{ type: 'text', text: 'Tell me of a fox.' }] }] });
  assert.equal(parts.choices[0].message.content, text);
  const system = (role) => chat({ ...greedy, messages: [{ role, content: 'You are a bard.' }, ...messages] });
  assert.equal((await system('developer')).choices[0].message.content, (await system('system')).choices[0].message.content);
  const nulls = { stop: null, n: null, top_p: null, seed: null, logprobs: null, stream: null, user: null, tools: null,
                 response_format: null };
  assert.equal((await chat({ ...greedy, ...nulls, a_field_of_tomorrow: { x: 1 } })).choices[0].message.content, text);
  const turns = [...messages, { role: 'assistant', content: 'A fox lived in a wood.' }, { role: 'user', content: 'And then?' }];
  assert.ok((await chat({ ...greedy, messages: turns })).choices[0].message.content);
  assert.equal((await chat({ ...greedy, user: 'u', metadata: { a: 'b' }, store: false, service_tier: 'auto',
                            response_format: { type: 'text' } })).choices[0].message.content, text);
});

test('return_token_ids', async () => {
  const answer = await chat({ ...greedy, return_token_ids: true });
  assert.equal(answer.prompt_token_ids.length, answer.usage.prompt_tokens);
  assert.equal(answer.choices[0].token_ids.length, answer.usage.completion_tokens);
  const { prompt } = await own.openai.post('/detokenize', { body: { tokens: answer.choices[0].token_ids } });
  assert.equal(prompt, answer.choices[0].message.content);
});

test('many at once', async () => {
  const seeds = [...Array(24).keys()];
  const streams = await Promise.all(seeds.map(async (seed) => texts(await collect(await chat({ ...story, seed, stream: true })))[0]));
  for (const seed of [0, 11, 23]) assert.equal(streams[seed], (await chat({ ...story, seed })).choices[0].message.content);
  await own.server.idle();
});
