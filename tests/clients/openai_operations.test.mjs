// The official client for Node when things go wrong: aborts, timeouts, full queues, a server that drains, dies or fails within a stream.
// The simulated engine sets the pace.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { eventually, simulate } from './server.mjs';

const messages = [{ role: 'user', content: 'Tell me of a fox, a hen, a dog, a cat, a crow and a king.' }];

/** A server for the length of one test, a client of it, and a chat of `max_tokens` tokens. */
async function session(t, options, start = simulate) {
  const server = await start(options);
  t.after(() => server.stop('SIGKILL'));
  const openai = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0 });
  const model = (await openai.models.list()).data[0].id;
  const chat = (max_tokens, body = {}, settings = {}) =>
    openai.chat.completions.create({ model, messages, max_tokens, ignore_eos: true, ...body }, settings);
  return { server, openai, model, chat };
}

/** [first chunk, a promise of all later ones] */
async function first(stream) {
  const chunks = stream[Symbol.asyncIterator]();
  const rest = async () => {
    const all = [];
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) all.push(next.value);
    return all;
  };
  return [(await chunks.next()).value, rest];
}

test('abort within a stream', async (t) => {
  const { server, chat } = await session(t, { next: 0.02 });
  const controller = new AbortController();
  const [, rest] = await first(await chat(400, { stream: true }, { signal: controller.signal }));
  await eventually('one request running', async () => (await server.running()) === 1);
  controller.abort();
  await rest().catch((error) => assert.ok(error instanceof OpenAI.APIUserAbortError || error.name === 'AbortError', String(error)));
  await server.idle();
  const stream = await chat(400, { stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.choices);
    break; // leaving the loop aborts, too
  }
  await server.idle();
  const helper = (await session(t, { next: 0.02 })).openai.chat.completions.stream({ model: 'none', messages });
  await assert.rejects(helper.finalMessage(), OpenAI.NotFoundError);
});

test('abort without a stream', async (t) => {
  const { server, chat } = await session(t, { first: 0.05, next: 0.02 });
  const controller = new AbortController();
  const answer = chat(400, { n: 3 }, { signal: controller.signal });
  await eventually('the request running', async () => (await server.running()) > 0);
  controller.abort();
  await assert.rejects(answer, OpenAI.APIUserAbortError);
  await server.idle();
});

test('timeout of the client', async (t) => {
  const { server, chat } = await session(t, { first: 5 });
  await assert.rejects(chat(5, {}, { timeout: 150 }), OpenAI.APIConnectionTimeoutError);
  await server.idle();
});

test('RateLimitError from a full queue', async (t) => {
  const { server, openai, chat } = await session(t, { next: 0.02, args: ['--max-num-seqs', '1', '--max-queue', '1'] });
  const answers = await Promise.allSettled(Array.from({ length: 8 }, () => chat(10)));
  const errors = answers.filter(({ status }) => status === 'rejected').map(({ reason }) => reason);
  assert.ok(errors.length >= 5 && errors.length < 8, String(errors.length));
  for (const error of errors) {
    assert.ok(error instanceof OpenAI.RateLimitError, String(error));
    assert.equal(error.code, 'queue_full');
    assert.equal(error.type, 'rate_limit_error');
    const seconds = Number(error.headers.get('retry-after'));
    assert.ok(seconds >= 1 && seconds <= 60, String(seconds));
  }
  await server.idle();
  // Streams are refused before they begin, as plain HTTP errors.
  const streams = await Promise.allSettled(Array.from({ length: 8 }, () => chat(10, { stream: true })));
  assert.ok(streams.some(({ reason }) => reason instanceof OpenAI.RateLimitError));
  for (const { value } of streams) await value?.controller.abort();
  await server.idle();
  assert.equal((await openai.models.list()).data.length > 0, true);
});

test('retries after 429 succeed', async (t) => {
  const { openai, model } = await session(t, { next: 0.01, args: ['--max-num-seqs', '1', '--max-queue', '1'] });
  const patient = openai.withOptions({ maxRetries: 6 });
  const answers = await Promise.all(Array.from({ length: 4 }, () => patient.chat.completions.create({ model, messages, max_tokens: 4,
      ignore_eos: true })));
  for (const { usage } of answers) assert.equal(usage.completion_tokens, 4);
});

test('SIGTERM: what runs is finished, what comes is told 503', async (t) => {
  const { server, chat } = await session(t, { next: 0.03 });
  const [, rest] = await first(await chat(40, { stream: true }));
  const whole = chat(40);
  await eventually('both requests running', async () => (await server.running()) === 2);
  server.signal('SIGTERM');
  const refused = await eventually('a refusal', async () => {
    try {
      (await chat(1, { stream: true })).controller.abort();
    } catch (error) {
      return error;
    }
  });
  assert.ok(refused instanceof OpenAI.InternalServerError || refused instanceof OpenAI.APIConnectionError, String(refused));
  if (refused.status) {
    assert.equal(refused.status, 503);
    assert.equal(refused.code, 'draining');
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
  }
  const chunks = await rest();
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'length');
  assert.equal((await whole).usage.completion_tokens, 40);
  assert.deepEqual(await server.exited, [0, null]);
});

test('retries after 503 reach the server that takes its place', async (t) => {
  const { server, chat, openai, model } = await session(t, { next: 0.02 });
  const [, rest] = await first(await chat(50, { stream: true }));
  server.signal('SIGTERM');
  const answer = openai.withOptions({ maxRetries: 10 }).chat.completions.create({ model, messages, max_tokens: 3, ignore_eos: true });
  await rest();
  await server.exited;
  const successor = await simulate({ args: ['--port', new URL(server.origin).port] });
  t.after(() => successor.stop('SIGKILL'));
  assert.equal((await answer).usage.completion_tokens, 3);
});

test('AuthenticationError', async (t) => {
  const server = await simulate({ args: ['--api-key', 'sk-good'] });
  t.after(() => server.stop('SIGKILL'));
  const client = (apiKey) => new OpenAI({ baseURL: server.baseURL, apiKey, maxRetries: 0 });
  for (const key of ['sk-bad', 'sk-goo', 'sk-good2', 'x']) {
    await assert.rejects(client(key).models.list(), (error) => {
      assert.ok(error instanceof OpenAI.AuthenticationError);
      assert.equal(error.code, 'invalid_api_key');
      assert.equal(error.type, 'authentication_error');
      assert.match(error.headers.get('www-authenticate'), /^Bearer/);
      assert.ok(!error.message.includes('sk-good'));
      return true;
    });
    await assert.rejects(client(key).chat.completions.create({ model: 'x', messages, stream: true }), OpenAI.AuthenticationError);
  }
  const { data } = await client('sk-good').models.list();
  const answer = await client('sk-good').chat.completions.create({ model: data[0].id, messages, max_tokens: 2 });
  assert.ok(answer.choices.length);
  const other = await fetch(`${server.baseURL}/models`, { headers: { 'x-api-key': 'sk-good' } });
  assert.equal(other.status, 200);
});

test('many parallel streams', async (t) => {
  const { server, chat } = await session(t, { next: 0.002, args: ['--max-num-seqs', '32', '--max-queue', '256'] });
  const lengths = Array.from({ length: 128 }, (_, i) => 1 + (i % 40));
  const ids = new Set();
  await Promise.all(
    lengths.map(async (length) => {
      let usage, finish;
      for await (const chunk of await chat(length, { stream: true, stream_options: { include_usage: true } })) {
        ids.add(chunk.id);
        usage = chunk.usage ?? usage;
        finish = chunk.choices[0]?.finish_reason ?? finish;
      }
      assert.equal(usage.completion_tokens, length);
      assert.equal(finish, 'length');
    }),
  );
  assert.equal(ids.size, lengths.length);
  await server.idle();
});

test('a server that is killed', async (t) => {
  const { server, chat } = await session(t, { next: 0.02 });
  const [, rest] = await first(await chat(400, { stream: true }));
  const whole = chat(400);
  await eventually('both requests running', async () => (await server.running()) === 2);
  const broken = [assert.rejects(rest()), assert.rejects(whole, OpenAI.APIConnectionError)];
  await server.stop('SIGKILL');
  await Promise.all(broken);
  await assert.rejects(chat(1), OpenAI.APIConnectionError);
});

test('a fault within a stream', async (t) => {
  const { server, chat } = await session(t, { next: 0.02, env: { INFERNUM_FAULTS: 'step:12:nan' } });
  const [, rest] = await first(await chat(50, { stream: true }));
  await assert.rejects(rest(), (error) => error instanceof OpenAI.APIError && error.type === 'server_error' && error.message.length > 0);
  assert.equal((await chat(3)).usage.completion_tokens, 3);
  await server.idle();
});

test('a fault before the first token', async (t) => {
  const { server, chat } = await session(t, { first: 0.05, env: { INFERNUM_FAULTS: 'request:1:throw' } });
  await assert.rejects(chat(5, { stream: true }), (error) => error instanceof OpenAI.InternalServerError && error.status === 500);
  assert.equal((await chat(3)).usage.completion_tokens, 3);
  await server.idle();
});

test('silence is filled with comments that nobody sees', async (t) => {
  const { chat } = await session(t, { first: 2.5, args: ['--ping-interval', '1'] });
  const started = Date.now();
  const chunks = [];
  for await (const chunk of await chat(3, { stream: true })) chunks.push(chunk);
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'length');
  assert.ok(Date.now() - started >= 2400);
});
