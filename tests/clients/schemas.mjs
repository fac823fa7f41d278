// JSON schemas of the responses, generated from the types that the openai package ships, and what this server documents beyond them.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv';
import { createGenerator } from 'ts-json-schema-generator';

const types = `
import type OpenAI from 'openai';
import type { PageResponse } from 'openai/core/pagination';
export type AnyChatCompletion = OpenAI.Chat.ChatCompletion;
export type AnyChatCompletionChunk = OpenAI.Chat.ChatCompletionChunk;
export type AnyCompletion = OpenAI.Completions.Completion;
export type AnyModel = OpenAI.Models.Model;
export type AnyModelsPage = PageResponse<OpenAI.Models.Model>;
export type AnyErrorBody = { error: OpenAI.ErrorObject };
`;

const numbers = { type: 'array', items: { type: 'integer' } };
const scored = { type: ['object', 'null'], additionalProperties: { type: 'object', required: ['logprob'],
                                                                  properties: { logprob: { type: 'number' }, rank: { type: 'integer' },
                                                                      decoded_token: { type: 'string' } }, additionalProperties: false } };
const timings = { type: 'object' };

// Documented fields that the types lack, by place. Everything else that they lack is an error.
const extras = {
  ChatCompletion: { '': { prompt_token_ids: numbers, prompt_logprobs: { type: 'array', items: scored }, infernum: timings },
    choices: { token_ids: numbers, stop_reason: { type: ['string', 'integer', 'null'] } },
    'choices.message': { reasoning_content: { type: ['string', 'null'] } } },
  ChatCompletionChunk: { '': { prompt_token_ids: numbers, infernum: timings }, choices: { token_ids: numbers,
      stop_reason: { type: ['string', 'integer', 'null'] } },
    'choices.delta': { reasoning_content: { type: 'string' } } },
  Completion: { '': { infernum: timings },
    choices: { prompt_token_ids: numbers, token_ids: numbers, prompt_logprobs: { type: 'array', items: scored },
              stop_reason: { type: ['string', 'integer', 'null'] } } },
  Model: { '': { root: { type: 'string' }, parent: { type: ['string', 'null'] }, max_model_len: { type: 'integer' },
                aliases: { type: 'array', items: { type: 'string' } } } },
  ModelsPage: {},
  ErrorBody: {},
};
extras.ModelsPage.data = extras.Model[''];

// Where the types are stricter than OpenAI's own servers, whose answers they describe. An unfinished choice of a streamed completion has
// finish_reason null (openapi.json: nullable; the type of the package is that of a whole answer), the first token of an echoed prompt no
// logprob, and earlier chunks than that of the usage have usage null.
function relax(name, schema) {
  if (name === 'Completion') {
    const { finish_reason: reason, logprobs } = schema.properties.choices.items.properties;
    reason.type = ['string', 'null'];
    reason.enum.push(null);
    const { token_logprobs: own, top_logprobs: top } = logprobs.anyOf.find(({ type }) => type === 'object').properties;
    own.items.type = ['number', 'null'];
    top.items = { anyOf: [top.items, { type: 'null' }] };
    schema.properties.usage = { anyOf: [schema.properties.usage, { type: 'null' }] };
  }
}

/** The schema of what stands at `place`: a dotted path through properties and items of lists. */
function descend(schema, place) {
  for (const name of place ? place.split('.') : []) {
    schema = schema.properties[name];
    if (schema.items) schema = schema.items;
  }
  return schema;
}

/** {ChatCompletion: value => undefined, or throws with everything that is wrong, ...} */
export function generateChecks() {
  // Beside the tests, so that the import of `openai` resolves to the package under test.
  const folder = mkdtempSync(join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, 'node_modules/.schemas-'));
  try {
    const path = join(folder, 'types.ts');
    writeFileSync(path, types);
    const generator = createGenerator({ path, skipTypeCheck: true, additionalProperties: false, topRef: false, expose: 'none',
                                       jsDoc: 'none' });
    const ajv = new Ajv({ strict: true, allowUnionTypes: true, allErrors: true });
    const checks = {};
    for (const [name, places] of Object.entries(extras)) {
      const schema = generator.createSchema(`Any${name}`);
      relax(name, schema);
      for (const [place, fields] of Object.entries(places)) Object.assign(descend(schema, place).properties, fields);
      const validate = ajv.compile(schema);
      checks[name] = (value) => {
        if (!validate(value)) throw new Error(`not a ${name}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(value, null, 1)}`);
      };
    }
    return checks;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
