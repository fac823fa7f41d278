// The official client for Node against the bundled model: every feature of chat, completions and models, and the errors of bad requests.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { serve } from './server.mjs';

let server, openai, model;
const messages = [{ role: 'user', content: 'Tell me of a fox.' }];
const story = { messages, max_tokens: 24, seed: 7 };
const greedy = { messages, max_tokens: 16, temperature: 0 };

before(async () => {
  server = await serve();
  openai = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0 });
  model = (await openai.models.list()).data[0].id;
});
after(() => server.stop());

const chat = (body, options) => openai.chat.completions.create({ model, ...body }, options);
const complete = (body, options) => openai.completions.create({ model, ...body }, options);

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
/** {index: text} of a streamed chat. */
function texts(chunks) {
  const out = {};
  for (const { choices } of chunks) for (const { index, delta } of choices) out[index] = (out[index] ?? '') + (delta.content ?? '');
  return out;
}
const tokenize = (prompt) => openai.post('/tokenize', { body: { prompt, add_special_tokens: false } }).then(({ tokens }) => tokens);

test('chat', async () => {
  const answer = await chat(story);
  assert.match(answer.id, /^chatcmpl-\w+$/);
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.model, model);
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
  const stream = openai.chat.completions.stream({ model, ...story, stream_options: { include_usage: true } });
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
  const stream = openai.chat.completions.stream({ model, ...story, n: 3, logprobs: true, top_logprobs: 2 });
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

test('completions', async () => {
  const answer = await complete({ prompt: 'Once upon a time', max_tokens: 8, temperature: 0 });
  assert.match(answer.id, /^cmpl-\w+$/);
  assert.equal(answer.object, 'text_completion');
  assert.equal(answer.usage.completion_tokens, 8);
  assert.equal(answer.choices[0].finish_reason, 'length');
  assert.equal(answer.choices[0].logprobs, null);
  const more = await complete({ prompt: 'Once upon a time', temperature: 0 });
  assert.equal(more.usage.completion_tokens, 16);
  assert.ok(more.choices[0].text.startsWith(answer.choices[0].text));
});

test('completions: prompts as texts and as ids, several choices', async () => {
  const prompts = ['Once upon a time', 'The king'];
  const alone = [];
  for (const prompt of prompts) alone.push((await complete({ prompt, max_tokens: 6, temperature: 0 })).choices[0].text);
  const together = await complete({ prompt: prompts, max_tokens: 6, temperature: 0 });
  assert.deepEqual(together.choices.map(({ index, text }) => [index, text]), alone.map((text, index) => [index, text]));
  const ids = await Promise.all(prompts.map(tokenize));
  assert.deepEqual((await complete({ prompt: ids, max_tokens: 6, temperature: 0 })).choices.map(({ text }) => text), alone);
  assert.equal((await complete({ prompt: ids[1], max_tokens: 6, temperature: 0 })).choices[0].text, alone[1]);
  const four = await complete({ prompt: prompts, max_tokens: 6, temperature: 0, n: 2 });
  assert.deepEqual(four.choices.map(({ index }) => index).sort(), [0, 1, 2, 3]);
  assert.deepEqual(four.choices.sort((a, b) => a.index - b.index).map(({ text }) => text), [alone[0], alone[0], alone[1], alone[1]]);
});

test('completions: stream', async () => {
  const whole = await complete({ prompt: 'Once upon a time', max_tokens: 20, seed: 3 });
  const chunks = await collect(await complete({ prompt: 'Once upon a time', max_tokens: 20, seed: 3, stream: true,
                                               stream_options: { include_usage: true } }));
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.deepEqual(last.usage.completion_tokens, whole.usage.completion_tokens);
  assert.equal(chunks.map(({ choices }) => choices[0].text).join(''), whole.choices[0].text);
  assert.equal(chunks.at(-1).choices[0].finish_reason, whole.choices[0].finish_reason);
  assert.ok(chunks.slice(0, -1).every(({ choices }) => choices[0].finish_reason === null));
});

test('completions: echo and logprobs', async () => {
  const prompt = 'Once upon a time';
  const ids = await tokenize(prompt);
  const { choices } = await complete({ prompt, max_tokens: 4, temperature: 0, echo: true, logprobs: 3 });
  const [{ text, logprobs }] = choices;
  assert.ok(text.startsWith(prompt));
  assert.equal(logprobs.tokens.join(''), text);
  for (const key of ['token_logprobs', 'top_logprobs', 'text_offset']) assert.equal(logprobs[key].length, logprobs.tokens.length, key);
  assert.equal(logprobs.tokens.length, ids.length + 4);
  assert.equal(logprobs.token_logprobs[0], null);
  assert.equal(logprobs.top_logprobs[0], null);
  logprobs.text_offset.forEach((offset, i) => assert.equal(text.slice(offset, offset + logprobs.tokens[i].length), logprobs.tokens[i]));
  // The chosen token is in the map with the very same number: that is how lm-eval sees whether it was the likeliest.
  for (let i = 1; i < logprobs.tokens.length; ++i) {
    assert.equal(logprobs.top_logprobs[i][logprobs.tokens[i]], logprobs.token_logprobs[i]);
    if (i >= ids.length) assert.equal(Math.max(...Object.values(logprobs.top_logprobs[i])), logprobs.token_logprobs[i]);
  }
  const scored = await complete({ prompt, max_tokens: 0, echo: true, logprobs: 1 });
  assert.equal(scored.choices[0].text, prompt);
  assert.deepEqual(scored.choices[0].logprobs.token_logprobs, logprobs.token_logprobs.slice(0, ids.length));
  assert.equal(scored.usage.completion_tokens, 0);
});

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
  const { prompt } = await openai.post('/detokenize', { body: { tokens: answer.choices[0].token_ids } });
  assert.equal(prompt, answer.choices[0].message.content);
});

test('models', async () => {
  const ids = [];
  for await (const { id, object, owned_by, created } of openai.models.list()) {
    assert.equal(object, 'model');
    assert.equal(owned_by, 'infernum');
    assert.ok(Number.isInteger(created));
    ids.push(id);
  }
  assert.equal(ids[0], model);
  assert.equal((await openai.models.retrieve(model)).id, model);
  await assert.rejects(openai.models.retrieve('org/no such model'),
                       (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found');
});

test('headers: ids of requests, timing', async () => {
  const { data, response, request_id } = await chat({ ...greedy, max_tokens: 1 }).withResponse();
  assert.equal(data._request_id, request_id);
  assert.match(request_id, /^[\w.:-]{8,128}$/);
  assert.ok(Number(response.headers.get('openai-processing-ms')) >= 0);
  assert.match(response.headers.get('content-type'), /^application\/json/);
  const own = await chat({ ...greedy, max_tokens: 1 }, { headers: { 'X-Request-Id': 'mine-1.2:3' } }).withResponse();
  assert.equal(own.request_id, 'mine-1.2:3');
  const bad = await chat({ ...greedy, max_tokens: 1 }, { headers: { 'X-Request-Id': 'no good; id' } }).withResponse();
  assert.notEqual(bad.request_id, 'no good; id');
  const { response: streamed } = await chat({ ...greedy, stream: true }).withResponse();
  assert.match(streamed.headers.get('content-type'), /^text\/event-stream/);
  assert.equal(streamed.headers.get('cache-control'), 'no-cache');
  await streamed.text();
});

test('errors: BadRequestError names the field', async () => {
  const table = [
    [{ temperature: 3 }, 'temperature'], [{ temperature: -0.1 }, 'temperature'], [{ temperature: '1' }, 'temperature'],
    [{ top_p: 1.1 }, 'top_p'],
    [{ n: 0 }, 'n'], [{ n: 1.5 }, 'n'], [{ max_tokens: 0 }, 'max_tokens'], [{ max_tokens: -1 }, 'max_tokens'], [{ stop: '' }, 'stop'],
    [{ presence_penalty: 2.1 }, 'presence_penalty'], [{ frequency_penalty: -2.1 }, 'frequency_penalty'],
    [{ logit_bias: { 99999999: 1 } }, 'logit_bias'],
    [{ logit_bias: { 5: 101 } }, 'logit_bias'], [{ top_logprobs: 3 }, 'top_logprobs'], [{ logprobs: true, top_logprobs: 21 },
        'top_logprobs'],
    [{ stream_options: { include_usage: true } }, 'stream_options'], [{ messages: [] }, 'messages'], [{ messages: 'Hello' }, 'messages'],
    [{ messages: [{ role: 'wizard', content: 'x' }] }, 'messages.0.role'], [{ messages: [{ role: 'user' }] }, 'messages.0.content'],
    [{ messages: [{ role: 'user', content: [{ type: 'hologram' }] }] }, 'messages.0.content.0.type'], [{ tools: [] }, 'tools'],
    [{ seed: 'seven' }, 'seed'], [{ stream: 'yes' }, 'stream'], [{ min_p: 2 }, 'min_p'], [{ model: 5 }, 'model'],
  ];
  for (const [body, param] of table) {
    await assert.rejects(chat({ messages, max_tokens: 1, ...body }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError, `${JSON.stringify(body)}: ${error}`);
      assert.equal(error.type, 'invalid_request_error');
      assert.ok(error.param === param || error.param?.startsWith(`${param}.`), `${JSON.stringify(body)}: ${error.param}`);
      assert.equal(typeof error.code, 'string');
      assert.ok(error.requestID);
      return true;
    });
  }
});

test('errors: a prompt over the context states both numbers', async () => {
  const { max_model_len } = await openai.models.retrieve(model);
  const { tokens } = await openai.post('/tokenize', { body: { prompt: 'word '.repeat(3000) } });
  await assert.rejects(complete({ prompt: tokens, max_tokens: 5 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.code, 'context_length_exceeded');
    assert.match(error.message, new RegExp(`maximum context length is ${max_model_len} tokens`));
    assert.match(error.message, new RegExp(String(tokens.length)));
    return true;
  });
  await assert.rejects(chat({ messages, max_tokens: 100000 }),
                       (error) => error.code === 'context_length_exceeded' && /100000/.test(error.message));
  await assert.rejects(chat({ messages: [{ role: 'user', content: 'word '.repeat(3000) }], stream: true }), OpenAI.BadRequestError);
});

test('errors: unknown models and paths', async () => {
  await assert.rejects(chat({ ...story, model: 'gpt-9' }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, 'model_not_found');
    assert.match(error.message, /model/);
    return true;
  });
  await assert.rejects(openai.get('/nowhere'), (error) => error instanceof OpenAI.NotFoundError && error.code === 'unknown_url');
  await assert.rejects(openai.delete('/chat/completions'), (error) => error.status === 405 && error.headers.get('allow').includes('POST'));
  await assert.rejects(openai.images.generate({ prompt: 'a fox' }), OpenAI.NotFoundError);
});

test('many at once', async () => {
  const seeds = [...Array(24).keys()];
  const streams = await Promise.all(seeds.map(async (seed) => texts(await collect(await chat({ ...story, seed, stream: true })))[0]));
  for (const seed of [0, 11, 23]) assert.equal(streams[seed], (await chat({ ...story, seed })).choices[0].message.content);
  await server.idle();
});
