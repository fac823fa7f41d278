// LangChain: chat and completion models, chains, batches, streams and their metadata.
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { after, before, test } from 'node:test';
import { HumanMessage, SystemMessage } from '@langchain/core/messages';
import { StringOutputParser } from '@langchain/core/output_parsers';
import { ChatPromptTemplate } from '@langchain/core/prompts';
import { ChatOpenAI, OpenAI } from '@langchain/openai';
import { eventually, serve, simulate } from './server.mjs';

globalThis.crypto ??= webcrypto; // Node 18 has it under this name only; streamEvents of LangChain 1 needs it
let server, model;
const nameOf = async ({ baseURL }) => (await (await fetch(`${baseURL}/models`)).json()).data[0].id;
const settings = (fields, { baseURL } = server) => ({ model, apiKey: 'none', maxRetries: 0, configuration: { baseURL }, ...fields });
const chat = (fields, of) => new ChatOpenAI(settings({ maxTokens: 24, modelKwargs: { seed: 7 }, ...fields }, of));

// The simulated engine echoes the prompt, ends of turns too.
const endless = { modelKwargs: { ignore_eos: true } };

before(async () => {
  server = await serve();
  model = await nameOf(server);
});
after(() => server.stop());

async function collect(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

test('invoke', async () => {
  const answer = await chat().invoke('Tell me of a fox.');
  assert.ok(answer.content.length > 10);
  assert.match(answer.response_metadata.finish_reason, /^(stop|length)$/);
  const { input_tokens, output_tokens, total_tokens } = answer.usage_metadata;
  assert.equal(input_tokens + output_tokens, total_tokens);
  assert.ok(output_tokens > 0 && output_tokens <= 24);
});

test('stream', async () => {
  const whole = await chat().invoke('Tell me of a fox.');
  const parts = await collect(await chat().stream('Tell me of a fox.'));
  const sum = parts.reduce((a, b) => a.concat(b));
  assert.equal(sum.content, whole.content);
  assert.equal(sum.usage_metadata.output_tokens, whole.usage_metadata.output_tokens);
  assert.equal(sum.response_metadata.finish_reason, whole.response_metadata.finish_reason);
});

test('chain of prompt, model and parser', async () => {
  const chain = ChatPromptTemplate.fromMessages([['system', 'You are a bard.'],
                                                 ['user', 'Tell me of {animal}.']]).pipe(chat()).pipe(new StringOutputParser());
  const text = await chain.invoke({ animal: 'a fox' });
  assert.ok(text.length > 10);
  assert.equal((await collect(await chain.stream({ animal: 'a fox' }))).join(''), text);
  const events = await collect(chain.streamEvents({ animal: 'a fox' }, { version: 'v2' }));
  assert.ok(events.some(({ event }) => event === 'on_chat_model_stream'));
});

test('batch', async () => {
  const prompts = ['a fox', 'a hen', 'a king', 'a crow'].map((animal) => [new SystemMessage('You are a bard.'),
      new HumanMessage(`Tell me of ${animal}.`)]);
  const answers = await chat().batch(prompts);
  assert.equal(answers[2].content, (await chat().invoke(prompts[2])).content);
  assert.equal(new Set(answers.map(({ content }) => content)).size, 4);
});

test('seed, temperature and stop', async () => {
  const { content } = await chat().invoke('Tell me of a fox.');
  assert.equal((await chat().invoke('Tell me of a fox.')).content, content);
  assert.notEqual((await chat({ modelKwargs: { seed: 8 } }).invoke('Tell me of a fox.')).content, content);
  const greedy = chat({ temperature: 0, maxTokens: 40 });
  const plain = (await greedy.invoke('Tell me of a fox.')).content;
  const word = plain.split(' ')[4];
  const stopped = await greedy.invoke('Tell me of a fox.', { stop: [word] });
  assert.equal(stopped.content, plain.slice(0, plain.indexOf(word)));
  assert.equal(stopped.response_metadata.finish_reason, 'stop');
});

test('logprobs', async () => {
  const { response_metadata, content } = await chat({ temperature: 0, logprobs: true, topLogprobs: 2 }).invoke('Tell me of a fox.');
  assert.equal(Buffer.from(response_metadata.logprobs.content.flatMap(({ bytes }) => bytes)).toString(), content);
});

test('several choices', async () => {
  const { generations, llmOutput } = await chat({ n: 3 }).generate([[new HumanMessage('Tell me of a fox.')]]);
  assert.equal(generations[0].length, 3);
  assert.ok(llmOutput.tokenUsage.completionTokens > 3);
});

test('completion models', async () => {
  const story = new OpenAI(settings({ maxTokens: 12, temperature: 0 }));
  const text = await story.invoke('Once upon a time');
  assert.ok(text.length > 5);
  assert.equal((await collect(await story.stream('Once upon a time'))).join(''), text);
  const { generations } = await story.generate(['Once upon a time', 'The king']);
  assert.equal(generations[0][0].text, text);
  assert.equal(generations.length, 2);
});

test('errors', async () => {
  await assert.rejects(chat({ model: 'gpt-9' }).invoke('Hello'), (error) => error.status === 404 && error.code === 'model_not_found');
  await assert.rejects(chat({ temperature: 7 }).invoke('Hello'), (error) => error.status === 400 && error.param === 'temperature');
  await assert.rejects(chat().invoke('word '.repeat(3000)), (error) => /maximum context length/.test(error.message));
});

test('abort and timeout', async (t) => {
  const slow = await simulate({ next: 0.02 });
  t.after(() => slow.stop('SIGKILL'));
  const controller = new AbortController();
  const patient = chat({ model: await nameOf(slow), maxTokens: 400, ...endless, streamUsage: false }, slow);
  const reading = patient.stream('Hello', { signal: controller.signal }).then(collect).catch((error) => error);
  await eventually('the request running', async () => (await slow.running()) === 1);
  controller.abort();
  assert.ok((await reading) instanceof Error);
  await slow.idle();
  await assert.rejects(chat({ model: await nameOf(slow), maxTokens: 400, ...endless, timeout: 200 }, slow).invoke('Hello'));
  await slow.idle();
});

test('429 is tried again', async (t) => {
  const full = await simulate({ next: 0.01, args: ['--max-num-seqs', '1', '--max-queue', '1'] });
  t.after(() => full.stop('SIGKILL'));
  const busy = { model: await nameOf(full), maxTokens: 4, ...endless };
  const once = await Promise.allSettled(Array.from({ length: 6 }, () => chat(busy, full).invoke('Hello')));
  assert.ok(once.some(({ reason }) => reason?.status === 429));
  for (const answer of await chat({ ...busy, maxRetries: 8 },
                                  full).batch(['a', 'b', 'c'])) assert.ok(answer.usage_metadata.output_tokens > 0);
});

test('a fault within a stream is raised', async (t) => {
  const faulty = await simulate({ next: 0.02, env: { INFERNUM_FAULTS: 'step:12:nan' } });
  t.after(() => faulty.stop('SIGKILL'));
  const stream = await chat({ model: await nameOf(faulty), maxTokens: 50, ...endless }, faulty).stream('Hello');
  await assert.rejects(collect(stream));
});
