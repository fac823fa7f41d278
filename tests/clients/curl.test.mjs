// curl: what is on the wire, byte for byte, and the manners of HTTP.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { serve, simulate } from './server.mjs';

let server, model;
const json = ['-H', 'Content-Type: application/json'];
const body = (fields) => ['-d', JSON.stringify({ model, messages: [{ role: 'user', content: 'Tell me of a fox.' }], max_tokens: 8, seed: 7,
                                                ...fields })];

/** {status, headers: {name: value}, text} of one request; `path` may be anything that follows the origin. */
async function curl(path, ...args) {
  const { stdout } = await promisify(execFile)('curl', ['-sS', '-i', '--max-time', '60', '--path-as-is', ...args, server.origin + path],
                                               { encoding: 'buffer' });
  let raw = stdout.toString('utf8');
  while (/^HTTP\/1\.1 100 /.test(raw)) raw = raw.slice(raw.indexOf('\r\n\r\n') + 4);
  const end = raw.indexOf('\r\n\r\n');
  const [line, ...fields] = raw.slice(0, end).split('\r\n');
  const headers = Object.fromEntries(fields.map((field) => [field.slice(0, field.indexOf(':')).toLowerCase(),
                                                            field.slice(field.indexOf(':') + 1).trim()]));
  return { status: Number(line.split(' ')[1]), headers, text: raw.slice(end + 4) };
}

before(async () => {
  server = await serve();
  model = JSON.parse((await curl('/v1/models')).text).data[0].id;
});
after(() => server.stop());

test('lines of a stream', async () => {
  const { status, headers, text } = await curl('/v1/chat/completions', ...json, ...body({ stream: true }));
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^text\/event-stream; ?charset=utf-8$/i);
  assert.equal(headers['cache-control'], 'no-cache');
  assert.equal(headers['x-accel-buffering'], 'no');
  assert.equal(headers['transfer-encoding'], 'chunked');
  assert.ok(!('content-encoding' in headers));
  const events = text.split('\n\n');
  assert.equal(events.pop(), '');
  assert.equal(events.at(-1), 'data: [DONE]');
  for (const event of events.slice(0, -1)) {
    assert.match(event, /^data: \{.*\}$/);
    assert.equal(JSON.parse(event.slice(6)).object, 'chat.completion.chunk');
  }
  assert.ok(!text.includes('\r'));
  const chunks = events.slice(0, -1).map((event) => JSON.parse(event.slice(6)));
  assert.deepEqual(Object.keys(chunks[0].choices[0].delta).sort(), ['content', 'role']);
  assert.ok(chunks.every((chunk) => !('usage' in chunk)));
});

test('the end of a chunk is the end of an event', async () => {
  // --raw shows chunked coding as sent.
  const { text } = await curl('/v1/chat/completions', '--raw', ...json, ...body({ stream: true }));
  let at = 0;
  let events = 0;
  for (;;) {
    const line = text.indexOf('\r\n', at);
    const size = parseInt(text.slice(at, line), 16);
    if (size === 0) break;
    const bytes = Buffer.from(text.slice(line + 2)).subarray(0, size).toString();
    assert.ok(bytes.startsWith('data: ') && bytes.endsWith('\n\n'), JSON.stringify(bytes));
    events += bytes.split('\n\n').length - 1;
    at = line + 2 + bytes.length + 2;
  }
  assert.ok(events > 3);
});

test('HEAD and GET of the root', async () => {
  for (const path of ['/', '/v1/models', '/health']) {
    const head = await curl(path, '-I');
    assert.equal(head.status, 200, path);
    assert.equal(head.text, '', path);
    assert.equal((await curl(path)).status, 200, path);
  }
});

test('slashes, and paths without /v1', async () => {
  for (const path of ['/v1/models', '//v1//models', '/v1/models/', '/models', '///models//', `/v1/models/${model}`,
                      `/models/${encodeURIComponent(model)}`, '/v1/models?x=y']) {
    assert.equal((await curl(path)).status, 200, path);
  }
  assert.equal((await curl('/chat/completions', ...json, ...body())).status, 200);
  for (const path of ['/v1/../v1/models', '/v1/%2e%2e/models', '/v1/models%00', '/v2/models', '/V1/Models']) {
    const { status } = await curl(path);
    assert.ok(status === 404 || status === 400, `${path}: ${status}`);
  }
});

test('405 names what is allowed', async () => {
  for (const [path, method, allowed] of [['/v1/chat/completions', 'GET', 'POST'], ['/v1/completions', 'PUT', 'POST'],
                                         ['/v1/models', 'POST', 'GET'], ['/health', 'DELETE', 'GET']]) {
    const { status, headers, text } = await curl(path, '-X', method);
    assert.equal(status, 405, path);
    assert.ok(headers.allow.split(/, */).includes(allowed), headers.allow);
    assert.equal(JSON.parse(text).error.type, 'invalid_request_error');
  }
});

test('415: only JSON, as it is', async () => {
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'application/json; charset=latin1']) {
    const { status, text } = await curl('/v1/chat/completions', '-H', `Content-Type: ${type}`, ...body());
    assert.equal(status, 415, type);
    assert.deepEqual(Object.keys(JSON.parse(text).error).sort(), ['code', 'message', 'param', 'type']);
  }
  assert.equal((await curl('/v1/chat/completions', '-H', 'Content-Type:', ...body())).status, 415);
  assert.equal((await curl('/v1/chat/completions', ...json, '-H', 'Content-Encoding: gzip', ...body())).status, 415);
  for (const type of ['application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"']) {
    assert.equal((await curl('/v1/chat/completions', '-H', `Content-Type: ${type}`, ...body())).status, 200, type);
  }
});

test('errors have one form', async () => {
  for (const [path, args, status] of [['/nowhere', [], 404], ['/v1/chat/completions', [...json, '-d', '{'], 400],
                                      ['/v1/chat/completions', [...json, '-d', ''], 400],
    ['/v1/chat/completions', [...json, '-d', '{} {}'], 400], ['/v1/chat/completions', [...json, '-d', '[]'], 400],
    ['/v1/models/none', [], 404]]) {
    const answer = await curl(path, ...args);
    assert.equal(answer.status, status, path);
    assert.match(answer.headers['content-type'], /^application\/json/);
    const { error } = JSON.parse(answer.text);
    assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type']);
    assert.ok(answer.headers['x-request-id']);
  }
});

test('Expect: 100-continue', async () => {
  const long = body({ messages: [{ role: 'user', content: 'word '.repeat(400) }] });
  const { status } = await curl('/v1/chat/completions', ...json, '-H', 'Expect: 100-continue', '--expect100-timeout', '30', ...long);
  assert.equal(status, 200);
});

test('HTTP/1.0 and connections that stay', async () => {
  const old = await curl('/v1/models', '--http1.0');
  assert.equal(old.status, 200);
  assert.ok(!('transfer-encoding' in old.headers));
  assert.equal(JSON.parse(old.text).object, 'list');
  const { stderr } = await promisify(execFile)('curl', ['-sv', `${server.origin}/v1/models`, `${server.origin}/health`, '-o', '/dev/null',
                                                        '-o', '/dev/null']);
  assert.match(stderr, /Re-using existing connection/i);
  const { stderr: streamed } = await promisify(execFile)('curl', ['-sv', `${server.origin}/v1/chat/completions`,
                                                                  `${server.origin}/v1/chat/completions`, ...json,
                                                                  ...body({ stream: true }), '-o', '/dev/null', '-o', '/dev/null']);
  assert.match(streamed, /Re-using existing connection/i);
});

test('headers of every answer', async () => {
  const { headers } = await curl('/v1/models');
  assert.ok(headers['x-request-id']);
  assert.equal(headers.server, 'infernum');
  assert.ok(!('access-control-allow-origin' in headers));
  const { headers: echoed } = await curl('/v1/models', '-H', 'X-Request-Id: abc-1', '-H', 'Origin: http://evil.example');
  assert.equal(echoed['x-request-id'], 'abc-1');
  assert.ok(!('access-control-allow-origin' in echoed));
});

test('a foreign Host is refused on loopback', async () => {
  const { status } = await curl('/v1/models', '-H', 'Host: evil.example');
  assert.ok(status === 403 || status === 400 || status === 421, String(status));
  for (const host of ['localhost', '127.0.0.1:1', '[::1]:80']) assert.equal((await curl('/v1/models', '-H', `Host: ${host}`)).status, 200,
      host);
});

test('UTF-8 in and out', async () => {
  const prompt = 'Ein Fuchs über 雪 und 🦊';
  const { tokens } = JSON.parse((await curl('/tokenize', ...json, '-d', JSON.stringify({ prompt }))).text);
  assert.equal(JSON.parse((await curl('/detokenize', ...json, '-d', JSON.stringify({ tokens }))).text).prompt, prompt);
  const { text } = await curl('/v1/completions', ...json, '-d', JSON.stringify({ model, prompt: tokens, echo: true, max_tokens: 1 }));
  assert.ok(JSON.parse(text).choices[0].text.startsWith(prompt));
});

test('an answer to a curl that leaves', async (t) => {
  const slow = await simulate({ next: 0.05 });
  t.after(() => slow.stop('SIGKILL'));
  const name = (await (await fetch(`${slow.baseURL}/models`)).json()).data[0].id;
  const args = ['-sS', '-N', '--max-time', '0.5', ...json, '-d', JSON.stringify({ model: name, prompt: 'x', max_tokens: 400,
      ignore_eos: true, stream: true })];
  await assert.rejects(promisify(execFile)('curl', [...args, `${slow.baseURL}/completions`]), { code: 28 });
  await slow.idle();
});
