// The official client for Node: completions, models, headers, and the errors of bad requests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { chat, collect, complete, greedy, messages, own, story, tokenize } from './openai_client.mjs';

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

test('models', async () => {
  const ids = [];
  for await (const { id, object, owned_by, created } of own.openai.models.list()) {
    assert.equal(object, 'model');
    assert.equal(owned_by, 'infernum');
    assert.ok(Number.isInteger(created));
    ids.push(id);
  }
  assert.equal(ids[0], own.model);
  assert.equal((await own.openai.models.retrieve(own.model)).id, own.model);
  await assert.rejects(own.openai.models.retrieve('org/no such model'),
                       (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found');
});

test('headers: ids of requests, timing', async () => {
  const { data, response, request_id } = await chat({ ...greedy, max_tokens: 1 }).withResponse();
  assert.equal(data._request_id, request_id);
  assert.match(request_id, /^[\w.:-]{8,128}$/);
  assert.ok(Number(response.headers.get('openai-processing-ms')) >= 0);
  assert.match(response.headers.get('content-type'), /^application\/json/);
  const mine = await chat({ ...greedy, max_tokens: 1 }, { headers: { 'X-Request-Id': 'mine-1.2:3' } }).withResponse();
  assert.equal(mine.request_id, 'mine-1.2:3');
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
  const { max_model_len } = await own.openai.models.retrieve(own.model);
  const { tokens } = await own.openai.post('/tokenize', { body: { prompt: 'word '.repeat(3000) } });
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
  await assert.rejects(own.openai.get('/nowhere'), (error) => error instanceof OpenAI.NotFoundError && error.code === 'unknown_url');
  await assert.rejects(own.openai.delete('/chat/completions'), (error) => error.status === 405 && error.headers.get('allow').includes('POST'));
  await assert.rejects(own.openai.images.generate({ prompt: 'a fox' }), OpenAI.NotFoundError);
});
