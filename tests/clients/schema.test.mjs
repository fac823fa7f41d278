// Every response and every chunk of a broad table of requests fits the types that the openai package ships.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { generateChecks } from './schemas.mjs';
import { serve, simulate } from './server.mjs';

const checks = generateChecks();
const messages = [{ role: 'user', content: 'Tell me of a fox.' }];
let server, model;

before(async () => {
  server = await serve(['--served-model-name', 'fox', '--served-model-name', 'other-name']);
  model = (await (await fetch(`${server.baseURL}/models`)).json()).data[0].id;
});
after(() => server.stop());

const post = (path, body) => fetch(server.baseURL + path, { method: 'POST', headers: { 'content-type': 'application/json' },
                                                           body: typeof body === 'string' ? body : JSON.stringify(body) });

/** The documents of a stream; the last event is [DONE]. */
async function documents(response) {
  const events = (await response.text()).split('\n\n').filter((event) => event && !event.startsWith(':'));
  assert.equal(events.pop(), 'data: [DONE]');
  return events.map((event) => JSON.parse(event.slice('data: '.length)));
}

const common = [
  {}, { n: 3 }, { seed: 5, temperature: 1.3, top_p: 0.9 }, { temperature: 0 }, { stop: ['the', ' a'] },
  { stop: 'e', include_stop_str_in_output: true },
  { presence_penalty: 1, frequency_penalty: -1 }, { repetition_penalty: 1.2, top_k: 20, min_p: 0.05 },
  { logit_bias: { 300: 5, 301: -100 } },
  { ignore_eos: true, max_tokens: 40 }, { min_tokens: 6 }, { stop_token_ids: [300, 400, 500] }, { return_token_ids: true },
  { user: 'me', priority: 0, cache_salt: 'salt' },
  { skip_special_tokens: false }, { infernum: { timings: true } }, { max_tokens: 1 }, { model: 'other-name' }, { model: undefined },
];
const chats = [
  ...common, { logprobs: true }, { logprobs: true, top_logprobs: 20 }, { logprobs: true, top_logprobs: 3, n: 2 },
  { max_completion_tokens: 3 },
  { messages: [{ role: 'system', content: 'You are a bard.' }, ...messages, { role: 'assistant', content: 'Once', name: 'bard' },
               { role: 'user', content: [{ type: 'text', text: 'And' }, { type: 'text', text: 'then?' }] }] },
  { messages: [...messages, { role: 'assistant', content: 'There was' }], continue_final_message: true, add_generation_prompt: false },
  { messages: [{ role: 'developer', content: 'Be short.' }, ...messages] }, { response_format: { type: 'text' } },
  { metadata: { a: 'b' }, store: true, service_tier: 'auto' },
  { messages: [{ role: 'user', content: '雪 🦊 \u0000 "\\" \u2028' }], logprobs: true, top_logprobs: 2 },
];
const completions = [
  ...common, { logprobs: 0 }, { logprobs: 5 }, { echo: true }, { echo: true, logprobs: 2 }, { prompt: ['The fox', 'The hen'], n: 2 },
  { prompt: [300, 301, 302] },
  { prompt: [[300, 301], [302]], logprobs: 1 }, { prompt: '雪 🦊', logprobs: 5 },
];

test('chat completions', async () => {
  for (const body of [...chats, { prompt_logprobs: 2 }]) {
    const response = await post('/chat/completions', { model, messages, max_tokens: 12, ...body });
    const answer = await response.json();
    assert.equal(response.status, 200, JSON.stringify([body, answer]));
    checks.ChatCompletion(answer);
    assert.equal(answer.choices.length, body.n ?? 1);
    assert.ok(answer.usage, 'whole answers carry usage');
  }
});

test('chunks of chats', async () => {
  for (const body of chats) {
    for (const stream_options of [undefined, { include_usage: true }, { include_usage: true, continuous_usage_stats: true }]) {
      const response = await post('/chat/completions', { model, messages, max_tokens: 12, stream: true, stream_options, ...body });
      assert.equal(response.status, 200, JSON.stringify(body));
      const chunks = await documents(response);
      chunks.forEach(checks.ChatCompletionChunk);
      assert.equal(chunks.filter(({ choices }) => choices[0]?.finish_reason).length, body.n ?? 1, JSON.stringify(body));
      assert.equal(chunks.some(({ usage }) => usage), stream_options !== undefined);
    }
  }
});

test('completions', async () => {
  for (const body of [...completions, { echo: true, max_tokens: 0, logprobs: 1 }, { prompt_logprobs: 1 }]) {
    const response = await post('/completions', { model, prompt: 'Once upon a time', max_tokens: 12, ...body });
    const answer = await response.json();
    assert.equal(response.status, 200, JSON.stringify([body, answer]));
    checks.Completion(answer);
    assert.ok(answer.usage && answer.choices.every(({ finish_reason }) => finish_reason), 'whole answers are finished');
  }
});

test('chunks of completions', async () => {
  for (const body of completions) {
    for (const stream_options of [undefined, { include_usage: true }]) {
      const response = await post('/completions', { model, prompt: 'Once upon a time', max_tokens: 12, stream: true, stream_options,
                                                   ...body });
      assert.equal(response.status, 200, JSON.stringify(body));
      const chunks = await documents(response);
      chunks.forEach(checks.Completion);
      const choices = (body.n ?? 1) * (body.prompt && Array.isArray(body.prompt) && typeof body.prompt[0] !== 'number' ? body.prompt.length : 1);
      assert.equal(chunks.filter(({ choices }) => choices[0]?.finish_reason).length, choices, JSON.stringify(body));
    }
  }
});

test('models', async () => {
  const page = await (await fetch(`${server.baseURL}/models`)).json();
  checks.ModelsPage(page);
  for (const { id } of page.data) checks.Model(await (await fetch(`${server.baseURL}/models/${encodeURIComponent(id)}`)).json());
});

test('errors', async () => {
  const bad = [['/chat/completions', '{'], ['/chat/completions', '[]'], ['/chat/completions', { model, messages, temperature: 9 }],
               ['/chat/completions', { model: 'none', messages }],
    ['/chat/completions', { model, messages, stream: true, max_tokens: 1e6 }], ['/completions', { model, prompt: [-1] }],
    ['/completions', { model }], ['/nowhere', {}], ['/models', {}],
    ['/chat/completions', '\ud800'], ['/completions', { model, prompt: 'x', n: 2 ** 53 }]];
  for (const [path, body] of bad) {
    const response = await post(path, body);
    assert.ok(response.status >= 400 && response.status < 500, `${path} ${JSON.stringify(body)}: ${response.status}`);
    checks.ErrorBody(await response.json());
  }
});

test('errors within a stream', async (t) => {
  const faulty = await simulate({ next: 0.02, env: { INFERNUM_FAULTS: 'step:12:nan' } });
  t.after(() => faulty.stop('SIGKILL'));
  const response = await fetch(`${faulty.baseURL}/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' },
                                                                      body: JSON.stringify({ messages, max_tokens: 50, ignore_eos: true,
                                                                          stream: true }) });
  const chunks = await documents(response);
  checks.ErrorBody(chunks.pop());
  assert.ok(chunks.length > 2);
  chunks.forEach(checks.ChatCompletionChunk);
});

test('the checks find what is wrong', () => {
  const good = { id: 'x', object: 'model', created: 1, owned_by: 'infernum' };
  checks.Model(good);
  for (const bad of [{ ...good, created: '1' }, { ...good, extra: 1 }, { ...good, object: 'models' },
                     { id: 'x' }]) assert.throws(() => checks.Model(bad), /not a Model/);
  const delta = { id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta: { content: 'a' },
      finish_reason: null }] };
  checks.ChatCompletionChunk(delta);
  assert.throws(() => checks.ChatCompletionChunk({ ...delta, choices: [{ ...delta.choices[0], delta: { role: 'bard' } }] }));
  assert.throws(() => checks.ChatCompletionChunk({ ...delta, choices: [{ index: 0, delta: {} }] }));
});
