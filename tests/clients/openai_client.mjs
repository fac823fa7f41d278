// The official client for Node, connected to a server with the bundled model; shared by its tests.
import { after, before } from 'node:test';
import OpenAI from 'openai';
import { serve } from './server.mjs';

export const messages = [{ role: 'user', content: 'Tell me of a fox.' }];
export const story = { messages, max_tokens: 24, seed: 7 };
export const greedy = { messages, max_tokens: 16, temperature: 0 };

/** {server, openai, model}, once the tests of the file run. */
export const own = {};

before(async () => {
  own.server = await serve();
  own.openai = new OpenAI({ baseURL: own.server.baseURL, apiKey: 'none', maxRetries: 0 });
  own.model = (await own.openai.models.list()).data[0].id;
});
after(() => own.server.stop());

export const chat = (body, options) => own.openai.chat.completions.create({ model: own.model, ...body }, options);
export const complete = (body, options) => own.openai.completions.create({ model: own.model, ...body }, options);

export async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

/** {index: text} of a streamed chat. */
export function texts(chunks) {
  const out = {};
  for (const { choices } of chunks) for (const { index, delta } of choices) out[index] = (out[index] ?? '') + (delta.content ?? '');
  return out;
}

export const tokenize = (prompt) =>
  own.openai.post('/tokenize', { body: { prompt, add_special_tokens: false } }).then(({ tokens }) => tokens);
