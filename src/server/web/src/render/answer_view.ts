// Draws an answer that grows into an element: finished blocks once, the growing one again as it changes, growing code by appending.
import { BlockSplitter, worthDrawing } from "./blocks";
import { codeBlock, renderMarkdown } from "./markdown";

export class AnswerView {
  private splitter = new BlockSplitter();
  private seen = 0;
  private finished = false;
  private readonly open = document.createElement("div");
  private drawnLength = 0;
  /** The text node of a code block that grows. */
  private code: Text | null = null;

  constructor(private readonly element: HTMLElement) {
    element.append(this.open);
  }

  /** `text` is what was there before with more at its end; anything else after `finished` starts over. */
  update(text: string, finished: boolean): void {
    if (this.finished || text.length < this.seen) this.restart();
    for (const block of this.splitter.push(text.slice(this.seen))) {
      const done = document.createElement("div");
      done.append(renderMarkdown(block));
      this.open.before(done);
      this.clearOpen();
    }
    this.seen = text.length;
    this.finished = finished;
    const block = this.splitter.open;
    if (finished) this.drawMarkdown(text.slice(this.splitter.start));
    else if (block.kind === "code") this.growCode(text.slice(block.start + (this.code?.length ?? 0), block.end), block.language);
    else if (this.drawnLength !== block.end - block.start && worthDrawing(block.end - block.start, this.drawnLength))
      this.drawMarkdown(text.slice(block.start));
  }

  private drawMarkdown(text: string): void {
    this.clearOpen();
    this.open.append(renderMarkdown(text));
    this.drawnLength = text.length;
  }

  private growCode(more: string, language: string): void {
    if (!this.code) {
      this.clearOpen();
      this.code = document.createTextNode("");
      const pre = document.createElement("pre");
      pre.append(document.createElement("code"));
      pre.firstElementChild?.append(this.code);
      this.open.append(codeBlock(pre, language));
    }
    this.code.appendData(more);
  }

  private clearOpen(): void {
    this.open.replaceChildren();
    this.code = null;
    this.drawnLength = 0;
  }

  private restart(): void {
    this.element.replaceChildren(this.open);
    this.splitter = new BlockSplitter();
    this.seen = 0;
    this.clearOpen();
  }
}
