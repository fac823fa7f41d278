// A conversation and the operations on it; values are never changed in place, so that a view can tell by identity what changed.
import type { Bill, TokenInfo } from "../api/types";

export interface Stats {
  promptTokens: number | null;
  completionTokens: number;
  firstTokenSeconds: number;
  /** From the first token to the last. */
  decodeSeconds: number;
  bill?: Bill;
}

/** `stopped`: by the user; `interrupted`: the page was left while the answer came. */
export type Finish = "stop" | "length" | "stopped" | "interrupted" | "error" | string;

export interface Message {
  id: string;
  role: "user" | "assistant";
  content: string;
  reasoning?: string;
  model?: string;
  finish?: Finish;
  error?: { message: string; code: string | null; status: number };
  stats?: Stats;
  /** Kept for as long as the page is open: the alternatives of a long answer would fill the browser's storage. */
  tokens?: readonly TokenInfo[];
}

/** `chat` goes through the model's chat template; `text` continues the text as it stands. */
export type Mode = "chat" | "text";

export interface Conversation {
  id: string;
  title: string;
  updated: number;
  mode: Mode;
  system: string;
  messages: readonly Message[];
}

let counter = 0;
export const newId = () => `${Date.now().toString(36)}-${(counter++).toString(36)}-${Math.random().toString(36).slice(2, 8)}`;

export const newConversation = (mode: Mode, system: string): Conversation => ({
  id: newId(),
  title: "",
  updated: Date.now(),
  mode,
  system,
  messages: [],
});

export function withMessage(conversation: Conversation, message: Message): Conversation {
  const title = conversation.title || (message.role === "user" ? titleOf(message.content) : "");
  return { ...conversation, title, updated: Date.now(), messages: [...conversation.messages, message] };
}

export function withChanged(conversation: Conversation, id: string, change: Partial<Message>): Conversation {
  return { ...conversation, messages: conversation.messages.map((message) => (message.id === id ? { ...message, ...change } : message)) };
}

/** The messages before `id`, which goes too. */
export function cutBefore(conversation: Conversation, id: string): Conversation {
  const at = conversation.messages.findIndex((message) => message.id === id);
  return at < 0 ? conversation : { ...conversation, messages: conversation.messages.slice(0, at) };
}

export function titleOf(text: string): string {
  const line = text.trim().split("\n", 1)[0] ?? "";
  const characters = [...line];
  return characters.length > 60 ? `${characters.slice(0, 59).join("")}…` : line;
}

/** The document of text mode: what was written and what the model went on with. */
export function joinText(messages: readonly Message[]): string {
  return messages.reduce((document, message) => document + gapBefore(message, document) + message.content, "");
}

/** A blank before what the user adds to an answer, where there is none; the model's own text follows as it came. */
export const gapBefore = ({ role, content }: Message, before: string): string =>
  role === "assistant" || before === "" || /\s$/.test(before) || /^\s/.test(content) ? "" : " ";

/** What is saved and exported of a message. */
export function withoutTokens(message: Message): Message {
  const { tokens: _, ...rest } = message;
  return rest;
}
