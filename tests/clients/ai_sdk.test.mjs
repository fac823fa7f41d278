// The AI SDK with its provider for compatible servers, as chat applications and coding agents use it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateText, RetryError, streamText } from 'ai';
import { eventually, serve, simulate } from './server.mjs';

let server, provider, model;
const provide = ({ baseURL }, settings = {}) => createOpenAICompatible({ name: 'infernum', baseURL, includeUsage: true, ...settings });
const nameOf = async ({ baseURL }) => (await (await fetch(`${baseURL}/models`)).json()).data[0].id;
const story = (settings) => ({ model, prompt: 'Tell me of a fox.', maxOutputTokens: 24, seed: 7, maxRetries: 0, ...settings });
const endless = { providerOptions: { infernum: { ignore_eos: true } } }; // the simulated engine echoes the prompt, ends of turns too

before(async () => {
  server = await serve();
  provider = provide(server);
  model = provider(await nameOf(server));
});
after(() => server.stop());

async function collect(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

test('generateText', async () => {
  const { text, finishReason, usage, response, warnings } = await generateText(story());
  assert.ok(text.length > 10);
  assert.match(finishReason, /^(stop|length)$/);
  assert.equal(usage.totalTokens, usage.inputTokens + usage.outputTokens);
  assert.ok(usage.outputTokens > 0 && usage.outputTokens <= 24);
  assert.match(response.id, /^chatcmpl-/);
  assert.deepEqual(warnings ?? [], []);
});

test('streamText', async () => {
  const whole = await generateText(story());
  const result = streamText(story());
  assert.equal((await collect(result.textStream)).join(''), whole.text);
  assert.equal(await result.finishReason, whole.finishReason);
  assert.deepEqual((await result.usage).outputTokens, whole.usage.outputTokens);
  assert.equal((await result.response).modelId, whole.response.modelId);
});

test('parts of a stream', async () => {
  const types = (await collect(streamText(story()).fullStream)).map(({ type }) => type);
  assert.deepEqual([types[0], types.at(-1)], ['start', 'finish']);
  for (const type of ['start-step', 'text-start', 'text-delta', 'text-end', 'finish-step']) assert.ok(types.includes(type), type);
  assert.ok(!types.includes('error'));
});

test('system and turns', async () => {
  const messages = [{ role: 'user', content: 'Tell me of a fox.' }, { role: 'assistant', content: 'A fox lived in a wood.' },
                    { role: 'user', content: 'And then?' }];
  const plain = await generateText({ ...story(), prompt: undefined, messages });
  const system = await generateText({ ...story(), prompt: undefined, system: 'You are a bard.', messages });
  assert.ok(system.usage.inputTokens > plain.usage.inputTokens);
});

test('seed, temperature and stop', async () => {
  const { text } = await generateText(story());
  assert.equal((await generateText(story())).text, text);
  assert.notEqual((await generateText(story({ seed: 8 }))).text, text);
  const greedy = await generateText(story({ temperature: 0, maxOutputTokens: 40 }));
  const word = greedy.text.split(' ')[4];
  const stopped = await generateText(story({ temperature: 0, maxOutputTokens: 40, stopSequences: [word] }));
  assert.equal(stopped.text, greedy.text.slice(0, greedy.text.indexOf(word)));
  assert.equal(stopped.finishReason, 'stop');
});

test('completion models', async () => {
  const completion = provider.completionModel(model.modelId);
  const whole = await generateText({ ...story(), model: completion, temperature: 0 });
  const result = streamText({ ...story(), model: completion, temperature: 0 });
  assert.equal((await collect(result.textStream)).join(''), whole.text);
  assert.equal((await result.usage).outputTokens, whole.usage.outputTokens);
});

test('errors are APICallErrors', async () => {
  await assert.rejects(generateText(story({ model: provider('gpt-9') })), (error) => {
    assert.ok(APICallError.isInstance(error), String(error));
    assert.equal(error.statusCode, 404);
    assert.equal(error.isRetryable, false);
    assert.match(error.message, /model/);
    return true;
  });
  await assert.rejects(generateText(story({ temperature: 7 })),
                       (error) => APICallError.isInstance(error) && error.statusCode === 400 && /temperature/.test(error.message));
  await assert.rejects(generateText(story({ prompt: 'word '.repeat(3000) })),
                       (error) => error.statusCode === 400 && /maximum context length/.test(error.message));
  const errors = [];
  await collect(streamText(story({ temperature: 7, onError: ({ error }) => errors.push(error) })).fullStream);
  assert.equal(errors.length, 1);
  assert.equal(errors[0].statusCode, 400);
});

test('many at once', async () => {
  const seeds = [...Array(16).keys()];
  const all = await Promise.all(seeds.map(async (seed) => (await collect(streamText(story({ seed })).textStream)).join('')));
  assert.equal(all[5], (await generateText(story({ seed: 5 }))).text);
  await server.idle();
});

test('abort', async (t) => {
  const slow = await simulate({ next: 0.02 });
  t.after(() => slow.stop('SIGKILL'));
  const controller = new AbortController();
  const result = streamText(story({ model: provide(slow)(await nameOf(slow)), maxOutputTokens: 400, ...endless,
                                   abortSignal: controller.signal, onError() {} }));
  const reading = collect(result.fullStream).catch((error) => error);
  await eventually('the request running', async () => (await slow.running()) === 1);
  controller.abort();
  await reading;
  await slow.idle();
});

test('429 is tried again', async (t) => {
  const full = await simulate({ next: 0.01, args: ['--max-num-seqs', '1', '--max-queue', '1'] });
  t.after(() => full.stop('SIGKILL'));
  const busy = provide(full)(await nameOf(full));
  const once = await Promise.allSettled(Array.from({ length: 6 }, () => generateText(story({ model: busy, maxOutputTokens: 8,
      ...endless }))));
  const refused = once.filter(({ status }) => status === 'rejected').map(({ reason }) => reason);
  assert.ok(refused.length > 0);
  for (const error of refused) {
    const cause = RetryError.isInstance(error) ? error.lastError : error;
    assert.equal(cause.statusCode, 429);
    assert.equal(cause.isRetryable, true);
  }
  const again = await Promise.all(Array.from({ length: 3 }, () => generateText(story({ model: busy, maxOutputTokens: 4, maxRetries: 6 }))));
  for (const { usage } of again) assert.ok(usage.outputTokens > 0);
});

test('a fault within a stream is its error', async (t) => {
  const faulty = await simulate({ next: 0.02, env: { INFERNUM_FAULTS: 'step:12:nan' } });
  t.after(() => faulty.stop('SIGKILL'));
  const errors = [];
  const settings = { model: provide(faulty)(await nameOf(faulty)), maxOutputTokens: 50, ...endless,
                    onError: ({ error }) => errors.push(error) };
  await collect(streamText(story(settings)).fullStream);
  assert.equal(errors.length, 1, String(errors));
});

test('keys', async (t) => {
  const locked = await simulate({ args: ['--api-key', 'sk-good'] });
  t.after(() => locked.stop('SIGKILL'));
  await assert.rejects(generateText(story({ model: provide(locked, { apiKey: 'sk-bad' })('any') })), (error) => error.statusCode === 401);
  await assert.rejects(generateText(story({ model: provide(locked, { apiKey: 'sk-good' })('any') })), (error) => error.statusCode === 404);
});
