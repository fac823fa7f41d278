// Blocks must not depend on how the text arrived, must lose nothing, and drawing them must cost linear work.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BlockSplitter, worthDrawing } from "./blocks";

/** The blocks of the text and a last line end: a line is judged when it ends. */
function split(lines: string, size = lines.length + 1): string[] {
  const text = `${lines}\n`;
  const splitter = new BlockSplitter();
  const done: string[] = [];
  for (let at = 0; at < text.length; at += size) done.push(...splitter.push(text.slice(at, at + size)));
  return [...done, text.slice(splitter.start)].map((block) => block.trim()).filter((block) => block !== "");
}

test("paragraphs, headings, fences", () => {
  assert.deepEqual(split("# A\n\none\ntwo\n\n```py\nx = 1\n\ny = 2\n```\nafter"), [
    "# A",
    "one\ntwo",
    "```py\nx = 1\n\ny = 2\n```",
    "after",
  ]);
  assert.deepEqual(split("text:\n~~~\n```\n~~~~\nmore"), ["text:", "~~~\n```\n~~~~", "more"]);
});

test("lists go on over blank lines and hold fences", () => {
  const list = "1. one\n\n   more\n\n2. two\n   ```c\n   a\n\n   b\n   ```\n3. three";
  assert.deepEqual(split(`${list}\n\nafter`), [list, "after"]);
});

test("indented code stays together", () =>
  assert.deepEqual(
    split("    a\n\n    b\n\nc").map((s) => s.trim()),
    ["a\n\n    b", "c"],
  ));

test("the cut of the text does not matter and nothing is lost", () => {
  const text = "a\n\n- b\n\n  c\n\n```\nd\n\n```\n\n> e\n\n| f |\n|---|\n| g |\n\n\n    h\n\n~~~js\nnever closed\n\n- x";
  const whole = split(text);
  assert.equal(whole.join("").replace(/\s/g, ""), text.replace(/\s/g, ""));
  for (const size of [1, 2, 3, 7, 20]) assert.deepEqual(split(text, size), whole, `pieces of ${size}`);
});

test("an open fence grows as code and hides what may close it", () => {
  const splitter = new BlockSplitter();
  let text = "";
  const grow = (more: string): string => {
    text += more;
    splitter.push(more);
    const { kind, start, end, language } = splitter.open;
    assert.deepEqual([kind, language], ["code", "js"]);
    return text.slice(start, end);
  };
  assert.equal(grow("before\n```js title\n"), "");
  assert.equal(grow("let a;\n``"), "let a;");
  assert.equal(grow("x"), "let a;\n``x");
  assert.equal(grow("\n  "), "let a;\n``x");
  splitter.push("\n```\nafter");
  text += "\n```\nafter";
  assert.deepEqual([splitter.open.kind, text.slice(splitter.open.start)], ["markdown", "after"]);
});

test("drawing a block without end costs linear work", () => {
  for (const total of [50_000, 400_000]) {
    let drawn = 0;
    let work = 0;
    for (let length = 10; length <= total; length += 10) {
      if (!worthDrawing(length, drawn)) continue;
      drawn = length;
      work += length;
    }
    // Below 8192 each of the pieces of ten is drawn: a constant. Above it the sum is geometric, at most nine times the text.
    assert.ok(work < (8192 * 8192) / 10 + 10 * total, `${work} characters drawn for ${total}`);
  }
});
