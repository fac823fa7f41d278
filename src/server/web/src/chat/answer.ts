// An answer while it comes: gathers its deltas and measures them.
import type { Bill, Delta, TokenInfo, Usage } from "../api/types";
import type { Conversation, Message, Stats } from "./conversation";

export class Answer {
  private content = "";
  private reasoning = "";
  /** Grows in place, so that a long answer is not copied at every frame. */
  private readonly tokens: TokenInfo[] = [];
  private count = 0;
  private usage: Usage | null = null;
  private bill: Bill | null = null;
  private firstAt: number | null = null;
  private lastAt = 0;
  private finish: string | undefined;

  /** Times are in milliseconds of one clock. */
  constructor(private readonly startedAt: number) {}

  add(delta: Delta, now: number): void {
    this.content += delta.content;
    this.reasoning += delta.reasoning;
    for (const token of delta.tokens) this.tokens.push(token);
    // A chunk may hold several tokens: usage counts them rightly; a server that sends it with the last chunk only leaves an estimate until then.
    const tokens = delta.tokens.length || (delta.content || delta.reasoning ? 1 : 0);
    this.count += tokens;
    if (tokens > 0) {
      this.firstAt ??= now;
      this.lastAt = now;
    }
    if (delta.usage) this.usage = delta.usage;
    if (delta.bill) this.bill = delta.bill;
    if (delta.finish) this.finish = delta.finish;
  }

  get empty(): boolean {
    return this.content === "" && this.reasoning === "";
  }

  /** What the message shows now. */
  snapshot(): Partial<Message> {
    const change: Partial<Message> = { content: this.content };
    if (this.reasoning) change.reasoning = this.reasoning;
    if (this.tokens.length > 0) change.tokens = this.tokens;
    if (this.finish) change.finish = this.finish;
    if (this.firstAt !== null) change.stats = this.stats(this.firstAt);
    return change;
  }

  private stats(firstAt: number): Stats {
    return {
      promptTokens: this.usage?.prompt_tokens ?? null,
      completionTokens: this.usage?.completion_tokens || this.count,
      firstTokenSeconds: (firstAt - this.startedAt) / 1000,
      decodeSeconds: (this.lastAt - firstAt) / 1000,
      ...(this.bill ? { bill: this.bill } : {}),
    };
  }
}

/** Tokens a second after the first, by the server's clock once it told; null before there is a second token. */
export function tokensPerSecond({ completionTokens, decodeSeconds, bill }: Stats): number | null {
  const seconds = bill ? bill.decode_ms / 1000 : decodeSeconds;
  return completionTokens > 1 && seconds > 0 ? (completionTokens - 1) / seconds : null;
}

/** Tokens that a context of `length` has left, if what was written since the last answer took a token a byte. */
export function roomLeft(conversation: Conversation, length: number | undefined): number | null {
  const used = contextTokens(conversation);
  if (length === undefined || used === null) return null;
  const last = conversation.messages[conversation.messages.length - 1];
  return length - used - (last?.role === "user" ? new TextEncoder().encode(last.content).length + 1 : 0);
}

/** Tokens of the context that the conversation takes, as its newest counted answer tells; the answer under way adds to the one before. */
export function contextTokens(conversation: Conversation): number | null {
  let growing = 0;
  for (let i = conversation.messages.length - 1; i >= 0; --i) {
    const stats = conversation.messages[i]?.stats;
    if (!stats) continue;
    if (stats.promptTokens !== null) return stats.promptTokens + stats.completionTokens + growing;
    growing += stats.completionTokens;
  }
  return growing > 0 ? growing : null;
}
