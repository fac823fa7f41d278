// Tokens are shown byte for byte, also where they are halves of characters.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesToText, percent, shade, tokenLabel, tokenText } from "./tokens";

test("halves of characters show their bytes", () => {
  assert.equal(bytesToText([0xf0, 0x9f]), "\\xF0\\x9F");
  assert.equal(bytesToText([0x61, 0xff, 0xc3, 0xa9, 0x80]), "a\\xFFé\\x80");
  assert.equal(bytesToText([0xc0, 0xaf, 0xed, 0xa0, 0x80]), "\\xC0\\xAF\\xED\\xA0\\x80");
  assert.equal(tokenText({ token: "\ufffd", logprob: 0, bytes: [0x9f] }), "\\x9F");
  assert.equal(tokenText({ token: "\ufffd", logprob: 0, bytes: [0xef, 0xbf, 0xbd] }), "\ufffd");
  assert.equal(tokenText({ token: "\ufffd", logprob: 0, bytes: null }), "\ufffd");
});

test("every single byte and every character round trips", () => {
  for (let byte = 0; byte < 256; ++byte)
    assert.equal(bytesToText([byte]), byte < 128 ? String.fromCharCode(byte) : `\\x${byte.toString(16).toUpperCase()}`);
  const text = "aé€😀\ufeff\u0000";
  assert.equal(bytesToText([...new TextEncoder().encode(text)]), text);
});

test("what is invisible gets a sign", () => {
  assert.equal(tokenLabel({ token: " a\n\t", logprob: 0, bytes: null }), "·a↵⇥");
  assert.equal(tokenLabel({ token: "\u202e\u0007", logprob: 0, bytes: null }), "[U+202E][U+0007]");
  assert.equal(tokenLabel({ token: "", logprob: 0, bytes: [] }), "(no text)");
});

test("percentages and shades", () => {
  assert.deepEqual([0, -0.6931, -5, -12, -9999].map(percent), ["100.0 %", "50.0 %", "0.67 %", "< 0.01 %", "0 %"]);
  assert.deepEqual([0, -0.3, -1, -2, -3, -9999].map(shade), [0, 1, 2, 3, 4, 5]);
  assert.equal(shade(0.0001), 0);
});
