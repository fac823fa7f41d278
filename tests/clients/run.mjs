// Runs every client's tests against a program and compares docs/clients.md with what passed; INFERNUM_WRITE_TABLE=1 writes it instead.
// usage: node run.mjs PROGRAM [NAME...]     NAME: openai_chat, ai_sdk, ...; without one: all
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const page = join(here, '../../docs/clients.md');
const clients = [
  { title: 'OpenAI for Node: chats and streams', packages: ['openai'], file: 'openai_chat' },
  { title: 'OpenAI for Node: sampling', packages: ['openai'], file: 'openai_sampling' },
  { title: 'OpenAI for Node: completions, models, errors', packages: ['openai'], file: 'openai_api' },
  { title: 'OpenAI for Node: aborts, full queues, faults', packages: ['openai'], file: 'openai_operations' },
  { title: 'AI SDK', packages: ['ai', '@ai-sdk/openai-compatible'], file: 'ai_sdk' },
  { title: 'LangChain', packages: ['@langchain/openai', '@langchain/core'], file: 'langchain' },
  { title: 'curl', packages: [], file: 'curl' },
  { title: 'schemas of every answer', packages: ['ajv', 'ts-json-schema-generator', 'openai'], file: 'schema' },
];

const installed = (name) => JSON.parse(readFileSync(join(here, 'node_modules', name, 'package.json'), 'utf8')).version;
const version = ({ packages }) =>
  packages.map((name) => `\`${name}\` ${installed(name)}`).join(', ') || /^curl (\S+)/.exec(execFileSync('curl', ['--version'],
      { encoding: 'utf8' }))[1];

/** {passed, failed: [name, error]} of one file, whose output goes to stderr. */
function execute(file) {
  const result = { passed: 0, failed: [] };
  return new Promise((done) => {
    run({ files: [join(here, `${file}.test.mjs`)], concurrency: 1, timeout: 540_000 })
      .on('test:pass', ({ name, details, nesting }) => {
        if (isCase(name, details, nesting)) result.passed += 1;
      })
      .on('test:fail', ({ name, details }) => result.failed.push([name, details.error?.cause ?? details.error]))
      .on('test:stdout', ({ message }) => process.stderr.write(message))
      .on('test:stderr', ({ message }) => process.stderr.write(message))
      .on('end', () => done(result))
      .resume();
  });
}

// Some versions of Node report the file itself as a test, too.
const isCase = (name, details, nesting) => !name.endsWith('.test.mjs') && nesting <= 1;

function table(rows) {
  return `# Clients

These clients speak to \`infernum serve\` unmodified. Their tests are in \`tests/clients\`; \`ctest\` runs them against the bundled model and the
simulated engine, and this page is written by that run (\`INFERNUM_WRITE_TABLE=1\`), which fails where it no longer holds. All of them run on
Node 18.20 and later.

| client | version | cases passed |
|---|---|---|
${rows.map(({ title, version, passed, cases }) => `| ${title} | ${version} | ${passed} of ${cases} |\n`).join('')}
Every answer and every chunk of a stream that the last row counts was checked against JSON schemas which are generated in the test from the
response types that the \`openai\` package ships. Fields beyond those types are listed, by place, in \`tests/clients/schemas.mjs\`.
`;
}

const [program, ...names] = process.argv.slice(2);
if (!program) {
  console.error('usage: node run.mjs PROGRAM [NAME...]');
  process.exit(2);
}
process.env.INFERNUM_PROGRAM = resolve(program);
const known = readdirSync(here).filter((name) => name.endsWith('.test.mjs')).map((name) => basename(name, '.test.mjs'));
for (const name of [...names, ...known]) {
  if (!clients.some(({ file }) => file === name)) throw new Error(`no client is called ${name}; there are ${clients.map(({ file }) => file).join(', ')}`);
}

const rows = [];
for (const client of clients.filter(({ file }) => !names.length || names.includes(file))) {
  const begin = Date.now();
  const { passed, failed } = await execute(client.file);
  console.log(`${client.file}: ${passed} passed, ${failed.length} failed, ${((Date.now() - begin) / 1000).toFixed(1)} s`);
  for (const [name, error] of failed) console.log(`FAILED ${client.file}: ${name}\n${error?.stack ?? error}\n`);
  if (!failed.length && !passed) throw new Error(`${client.file}: no test ran`);
  if (failed.length) process.exitCode = 1;
  rows.push({ title: client.title, version: version(client), passed, cases: passed + failed.length });
}

if (!names.length && !process.exitCode) {
  // The version of curl is the machine's, not ours.
  const unversioned = (text) => text.replace(/^\| curl \| \S+ /m, '| curl | … ');
  if (process.env.INFERNUM_WRITE_TABLE === '1') {
    writeFileSync(page, table(rows));
  } else if (unversioned(readFileSync(page, 'utf8')) !== unversioned(table(rows))) {
    console.log('docs/clients.md is not what this run found; INFERNUM_WRITE_TABLE=1 writes it');
    process.exitCode = 1;
  }
}
