// The events must not depend on where the network cuts the bytes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SseParser } from "./sse";

const encode = (text: string) => new TextEncoder().encode(text);

function parse(bytes: Uint8Array, sizes: () => number): string[] {
  const parser = new SseParser();
  const events: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = sizes();
    events.push(...parser.push(bytes.subarray(at, at + size)));
    at += size;
  }
  return events;
}

const stream = encode(
  '\ufeff: ping\n\ndata: {"a":"é 😀 \u2028"}\n\ndata:two\r\ndata: lines\r\n\r\nevent: x\rid: 7\rdata\r\r: comment\ndata:  spaced\n\ndata: [DONE]\n\ndata: cut',
);
const expected = ['{"a":"é 😀 \u2028"}', "two\nlines", "", " spaced", "[DONE]"];

test("one piece", () =>
  assert.deepEqual(
    parse(stream, () => stream.length),
    expected,
  ));

test("every split in two", () => {
  for (let at = 1; at < stream.length; ++at) {
    let first = true;
    const sizes = () => (first ? ((first = false), at) : stream.length);
    assert.deepEqual(parse(stream, sizes), expected, `cut at ${at}`);
  }
});

test("single bytes and random pieces", () => {
  assert.deepEqual(
    parse(stream, () => 1),
    expected,
  );
  let state = 12345;
  const random = () => ((state = (state * 1103515245 + 12345) & 0x7fffffff) % 7) + 1;
  for (let round = 0; round < 200; ++round) assert.deepEqual(parse(stream, random), expected);
});

test("an event that never ends is not reported", () =>
  assert.deepEqual(
    parse(encode("data: half\n"), () => 3),
    [],
  ));

test("a long line in single bytes costs linear time", () => {
  const time = (n: number) => {
    const bytes = encode(`data: ${"x".repeat(n)}\n\n`);
    const start = performance.now();
    assert.equal(parse(bytes, () => 1)[0]?.length, n);
    return performance.now() - start;
  };
  time(20_000);
  const small = Math.max(time(50_000), 5);
  assert.ok(time(400_000) < small * 60, "eight times the bytes took more than sixty times as long");
});
