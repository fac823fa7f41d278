// Server-sent events from the bytes of a response, however the network cut them. Work is linear in the bytes.

/** Splits a text/event-stream into the data of its events; comments and other fields are left out. */
export class SseParser {
  private decoder = new TextDecoder("utf-8");
  private line: string[] = [];
  private data: string[] = [];
  private afterCarriageReturn = false;

  /** The data of every event that these bytes complete. */
  push(bytes: Uint8Array): string[] {
    return this.take(this.decoder.decode(bytes, { stream: true }));
  }

  private take(text: string): string[] {
    const events: string[] = [];
    let start = 0;
    for (let i = 0; i < text.length; ++i) {
      const char = text.charCodeAt(i);
      if (char !== 10 && char !== 13) {
        this.afterCarriageReturn = false;
        continue;
      }
      if (char === 10 && this.afterCarriageReturn) {
        this.afterCarriageReturn = false;
        start = i + 1;
        continue;
      }
      this.line.push(text.slice(start, i));
      this.endLine(this.line.join(""), events);
      this.line = [];
      this.afterCarriageReturn = char === 13;
      start = i + 1;
    }
    if (start < text.length) this.line.push(text.slice(start));
    return events;
  }

  private endLine(line: string, events: string[]): void {
    if (line === "") {
      if (this.data.length > 0) events.push(this.data.join("\n"));
      this.data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    if (field !== "data") return;
    const value = colon < 0 ? "" : line.slice(colon + 1);
    this.data.push(value.startsWith(" ") ? value.slice(1) : value);
  }
}
