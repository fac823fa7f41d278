// What the page sends for what the user wrote and set.
import assert from "node:assert/strict";
import { test } from "node:test";
import { joinText, newConversation, titleOf, withMessage, type Conversation } from "./conversation";
import { requestOf } from "./request";
import { defaultSettings, numberFields, parseNumber, readSettings, stopStrings } from "./settings";

const talk = (...contents: [role: "user" | "assistant", content: string][]): Conversation =>
  contents.reduce((so_far, [role, content], i) => withMessage(so_far, { id: String(i), role, content }), newConversation("chat", ""));

test("nothing is sent that was not set", () => {
  const { path, body } = requestOf(talk(["user", "Hi"]), "m", defaultSettings, null);
  assert.equal(path, "v1/chat/completions");
  assert.deepEqual(body, {
    model: "m",
    stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true },
    infernum: { timings: true },
    messages: [{ role: "user", content: "Hi" }],
  });
});

test("settings, system prompt and probabilities are sent", () => {
  const sampling = { ...defaultSettings.sampling, temperature: 0, top_k: 40, seed: 7, stop: "END\n\\n\\n" };
  const { body } = requestOf(
    { ...talk(["user", "Hi"]), system: "Be brief." },
    "m",
    { ...defaultSettings, sampling, probabilities: true },
    null,
  );
  assert.deepEqual(body.stop, ["END", "\n\n"]);
  assert.deepEqual([body.temperature, body.top_k, body.seed, body.top_p, body.logprobs, body.top_logprobs], [0, 40, 7, undefined, true, 5]);
  assert.deepEqual(body.messages, [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hi" },
  ]);
});

test("an answer that failed leaves roles that alternate", () => {
  const { body } = requestOf(
    talk(["user", "a"], ["assistant", ""], ["user", "b"], ["assistant", "c"], ["user", "d"]),
    "m",
    defaultSettings,
    null,
  );
  assert.deepEqual(body.messages, [
    { role: "user", content: "a\n\nb" },
    { role: "assistant", content: "c" },
    { role: "user", content: "d" },
  ]);
});

test("text mode continues the document", () => {
  const { path, body } = requestOf(
    { ...talk(["user", "Once"], ["assistant", " upon a time."], ["user", "The fox"]), mode: "text" },
    "m",
    {
      ...defaultSettings,
      probabilities: true,
    },
    300,
  );
  assert.equal(path, "v1/completions");
  assert.deepEqual([body.prompt, body.logprobs, body.max_tokens, body.messages], ["Once upon a time. The fox", 5, 256, undefined]);
  const most = (room: number | null) => requestOf({ ...talk(["user", "Once"]), mode: "text" }, "m", defaultSettings, room).body.max_tokens;
  assert.deepEqual([most(null), most(40), most(-5)], [256, 40, 256], "no more than there is room for; the server tells when there is none");
  assert.equal(
    joinText(talk(["user", "a\n"], ["user", "b"], ["assistant", ""], ["user", " c"], ["assistant", ","], ["user", "d"]).messages),
    "a\nb c, d",
  );
});

test("numbers are held to their range", () => {
  const field = (key: string) => numberFields.find((candidate) => candidate.key === key)!;
  assert.equal(parseNumber(field("temperature"), " 0.5 "), 0.5);
  assert.equal(parseNumber(field("temperature"), ""), null);
  for (const [key, typed] of [
    ["temperature", "2.1"],
    ["temperature", "-1"],
    ["top_p", "x"],
    ["top_k", "1.5"],
    ["seed", "1e30"],
    ["max_tokens", "0"],
    ["min_p", "Infinity"],
  ] as const) {
    assert.equal(typeof parseNumber(field(key), typed), "string", `${key} ${typed}`);
  }
});

test("settings survive what others left in storage", () => {
  for (const value of [
    null,
    3,
    "x",
    [],
    { sampling: 4, textModels: [1, "a"], theme: "pink" },
    { sampling: { temperature: 99, top_k: "3", stop: 7 } },
  ]) {
    const settings = readSettings(value);
    assert.deepEqual(settings.sampling, defaultSettings.sampling);
    assert.equal(settings.theme, "system");
  }
  assert.equal(readSettings({ sampling: { temperature: 0.3 } }).sampling.temperature, 0.3);
});

test("titles and stop strings", () => {
  assert.equal(titleOf("  first\nsecond"), "first");
  assert.equal([...titleOf("😀".repeat(80))].length, 60);
  assert.deepEqual(stopStrings("a\\\\n\n\nb\\t"), ["a\\n", "b\t"]);
});
