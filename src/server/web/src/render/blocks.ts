// Cuts Markdown that still grows into blocks that will not change any more and one that may, so that drawing an answer costs linear work.

/** The block that still grows, as places in the text: Markdown, or the inside of a fenced code block (drawn by appending). */
export interface OpenBlock {
  kind: "markdown" | "code";
  start: number;
  end: number;
  language: string;
}

interface Fence {
  mark: string;
  /** A block of its own, not one inside a list or a quote. */
  topLevel: boolean;
  language: string;
}

const fenceStart = /^(\s*(?:(?:[-*+]|\d{1,9}[.)])\s+)*)(`{3,}|~{3,})\s*([^`]*)$/;
const listItem = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)/;

export class BlockSplitter {
  private lines: string[] = [];
  private partial: string[] = [];
  private fence: Fence | null = null;
  private afterBlank = false;
  /** Places in all the text so far: where the open block begins, where the line begins, where the text ends. */
  private blockStart = 0;
  private lineStart = 0;
  private length = 0;
  private codeStart = 0;

  /** The blocks that this text completes, as Markdown. */
  push(text: string): string[] {
    const done: string[] = [];
    let start = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
      this.partial.push(text.slice(start, end));
      const lineEnd = this.length + end + 1;
      this.endLine(this.partial.join(""), lineEnd, done);
      this.lineStart = lineEnd;
      if (this.lines.length === 0) this.blockStart = lineEnd;
      this.partial = [];
      start = end + 1;
    }
    if (start < text.length) this.partial.push(text.slice(start));
    this.length += text.length;
    return done;
  }

  /** Where the open block begins, with its fence if it has one. */
  get start(): number {
    return this.blockStart;
  }

  get open(): OpenBlock {
    if (!this.fence?.topLevel) return { kind: "markdown", start: this.blockStart, end: this.length, language: "" };
    // What may become the closing fence is not shown as code meanwhile, nor is the line end before it.
    const closing = /^ {0,3}[`~]*\s*$/.test(this.partial.join(""));
    const end = Math.max(this.codeStart, closing ? this.lineStart - 1 : this.length);
    return { kind: "code", start: this.codeStart, end, language: this.fence.language };
  }

  private endLine(line: string, lineEnd: number, done: string[]): void {
    if (this.fence) {
      this.lines.push(line);
      if (closes(line, this.fence.mark)) {
        if (this.fence.topLevel) this.commit(done);
        this.fence = null;
      }
      return;
    }
    if (line.trim() === "") {
      if (this.lines.length > 0) this.lines.push(line);
      this.afterBlank = this.lines.length > 0;
      return;
    }
    if (this.afterBlank && !this.continues(line)) this.commit(done);
    this.afterBlank = false;
    const fence = fenceStart.exec(line);
    if (fence) {
      const [, indent = "", mark = "", info = ""] = fence;
      const topLevel = /^ {0,3}$/.test(indent) && !this.inList;
      if (topLevel) this.commit(done);
      this.codeStart = lineEnd;
      this.fence = { mark, topLevel, language: info.trim().split(/\s/, 1)[0] ?? "" };
    }
    this.lines.push(line);
  }

  private get inList(): boolean {
    return listItem.test(this.lines[0] ?? "");
  }

  /** Whether a line after a blank one still belongs to the block: lists and indented code go on over blank lines. */
  private continues(line: string): boolean {
    if (this.inList) return listItem.test(line) || /^(?: {2}|\t)/.test(line);
    return /^(?: {4}|\t)/.test(this.lines[0] ?? "") && /^(?: {4}|\t)/.test(line);
  }

  private commit(done: string[]): void {
    if (this.lines.length > 0) done.push(this.lines.join("\n"));
    this.lines = [];
    this.afterBlank = false;
    this.blockStart = this.lineStart;
  }
}

function closes(line: string, mark: string): boolean {
  const text = line.trim();
  return text.length >= mark.length && text === (mark[0] ?? "").repeat(text.length);
}

/** Whether a growing block is worth drawing again: always while it is small, later each time it grew by an eighth. */
export function worthDrawing(length: number, drawnLength: number): boolean {
  return length <= 8192 || length >= drawnLength + drawnLength / 8;
}
