// Starts `infernum serve` for a test and looks at it from outside: its address, its metrics, how it ends.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

const slowdown = Number(process.env.INFERNUM_TEST_SLOWDOWN ?? 1); // of a build with a sanitizer

/** The caller's environment without the program's own variables. */
function environment(extra) {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('INFERNUM_'));
  return { ...Object.fromEntries(kept), INFERNUM_THREADS: '1', ...extra };
}

/** Polls until `probe` gives a value that is not undefined or false; fails with `what` after `seconds`. */
export async function eventually(what, probe, seconds = 10) {
  const end = Date.now() + seconds * 1000 * slowdown;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds * slowdown} s`);
    await sleep(20);
  }
}

class Server {
  log = '';

  constructor(args, env) {
    const program = process.env.INFERNUM_PROGRAM;
    if (!program) throw new Error('INFERNUM_PROGRAM names the program under test');
    const port = args.includes('--port') ? [] : ['--port', '0'];
    this.child = spawn(program, ['serve', ...port, ...args], { env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
    this.exited = once(this.child, 'exit');
    for (const pipe of [this.child.stdout, this.child.stderr]) pipe.setEncoding('utf8').on('data', (text) => (this.log += text));
  }

  checkAlive() {
    if (this.child.exitCode !== null) throw new Error(`infernum serve ended with ${this.child.exitCode}:\n${this.log}`);
  }

  async ready() {
    const port = await eventually('a line with the port', () => {
      this.checkAlive();
      return /http:\/\/127\.0\.0\.1:([1-9]\d*)/.exec(this.log)?.[1];
    });
    this.origin = `http://127.0.0.1:${port}`;
    this.baseURL = `${this.origin}/v1`;
    await eventually('/ready', () => {
      this.checkAlive();
      return fetch(`${this.origin}/ready`).then(({ status }) => status === 200, () => false);
    }, 30);
    return this;
  }

  /** Samples of /metrics by "name" or "name{labels}"; the labels every sample carries are left out. */
  async metrics() {
    const samples = {};
    for (const line of (await (await fetch(`${this.origin}/metrics`)).text()).split('\n')) {
      const [, name, labels, value] = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      if (!name) continue;
      const kept = (labels ?? '').split(/,(?=\w+=")/).filter((label) => label && !/^(model_name|engine)=/.test(label));
      samples[kept.length ? `${name}{${kept.join(',')}}` : name] = Number(value);
    }
    return samples;
  }

  /** Until no request runs or waits and no block of the cache is in use. */
  idle() {
    return eventually('running, waiting and cache usage at 0', async () => {
      const m = await this.metrics();
      const busy = ['vllm:num_requests_running', 'vllm:num_requests_waiting', 'vllm:kv_cache_usage_perc'].map((name) => m[name]);
      return busy.every((value) => value === 0);
    });
  }

  running() {
    return this.metrics().then((m) => m['vllm:num_requests_running']);
  }

  signal(name) {
    this.child.kill(name);
  }

  /** [code, signal] */
  async stop(signal = 'SIGTERM') {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    return await this.exited;
  }
}

/** The bundled model. */
export const serve = (args = [], env = {}) => new Server(args, env).ready();

/** The engine that computes nothing: the first token after `first` seconds, every further one after `next`. */
export const simulate = ({ first = 0, next = 0, args = [], env = {} } = {}) =>
  serve(['--engine', 'sim', '--sim-ttft', String(first * 1000), '--sim-itl', String(next * 1000), ...args], env);
