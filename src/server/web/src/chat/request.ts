// The request of a turn: which path, and its body from the conversation and the settings.
import { joinText, type Conversation } from "./conversation";
import { numberFields, stopStrings, type Settings } from "./settings";

export const topLogprobs = 5;
const textTokens = 256;

export interface Request {
  path: string;
  body: Record<string, unknown>;
}

/** The conversation ends with what is to be answered. `room`: tokens that the context has left, where that is known. */
export function requestOf(conversation: Conversation, model: string, settings: Settings, room: number | null): Request {
  // Usage in every chunk counts tokens and context live.
  const stream_options = { include_usage: true, continuous_usage_stats: true };
  const body: Record<string, unknown> = { model, stream: true, stream_options, infernum: { timings: true } };
  for (const { key } of numberFields) {
    const value = settings.sampling[key];
    if (value !== null) body[key] = value;
  }
  const stop = stopStrings(settings.sampling.stop);
  if (stop.length > 0) body.stop = stop;
  if (conversation.mode === "text") {
    // The API's own default of 16 tokens is too short to read; more than there is room for is refused.
    body.max_tokens ??= room !== null && room > 0 ? Math.min(textTokens, room) : textTokens;
    if (settings.probabilities) body.logprobs = topLogprobs;
    return { path: "v1/completions", body: { ...body, prompt: joinText(conversation.messages) } };
  }
  if (settings.probabilities) Object.assign(body, { logprobs: true, top_logprobs: topLogprobs });
  return { path: "v1/chat/completions", body: { ...body, messages: turns(conversation) } };
}

/** Roles alternate, as chat templates want: an answer that failed before its first word leaves no gap. */
function turns(conversation: Conversation): { role: string; content: string }[] {
  const turns: { role: string; content: string }[] = [];
  if (conversation.system.trim() !== "") turns.push({ role: "system", content: conversation.system });
  for (const { role, content } of conversation.messages) {
    const last = turns[turns.length - 1];
    if (role === "assistant" && content === "") continue;
    if (last?.role === role) last.content += `\n\n${content}`;
    else turns.push({ role, content });
  }
  return turns;
}
