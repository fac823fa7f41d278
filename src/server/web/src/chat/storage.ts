// Conversations and settings in the browser's own storage: an entry each, and a list of them. The API key lives for the tab only.
import { withoutTokens, type Conversation, type Message } from "./conversation";
import { readSettings, type Settings } from "./settings";

export interface Summary {
  id: string;
  title: string;
  updated: number;
}

export const listKey = "infernum.conversations";
const conversationKey = (id: string) => `infernum.conversation.${id}`;

function read(storage: globalThis.Storage, key: string): unknown {
  try {
    return JSON.parse(storage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

/** A message with the parts that are whole; null where it is none. */
function readMessage(value: unknown): Message | null {
  const message = value as Partial<Message> | null;
  if (typeof message?.id !== "string" || typeof message.content !== "string") return null;
  const { id, content, role, reasoning, model, finish, error, stats } = message;
  if (role === "user") return { id, role, content };
  if (role !== "assistant") return null;
  const numbers = stats && [stats.completionTokens, stats.firstTokenSeconds, stats.decodeSeconds, ...Object.values(stats.bill ?? {})];
  return {
    id,
    role,
    content,
    finish: typeof finish === "string" ? finish : "interrupted",
    ...(typeof reasoning === "string" ? { reasoning } : {}),
    ...(typeof model === "string" ? { model } : {}),
    ...(typeof error?.message === "string" ? { error } : {}),
    ...(numbers?.every((number) => typeof number === "number") ? { stats } : {}),
  };
}

/** Everything may throw where storage is full or forbidden; `save` says so, reading then finds nothing. */
export class ChatStorage {
  list(): Summary[] {
    const value = this.read(listKey);
    if (!Array.isArray(value)) return [];
    return value
      .filter(
        (entry): entry is Summary => typeof entry?.id === "string" && typeof entry.title === "string" && typeof entry.updated === "number",
      )
      .sort((a, b) => b.updated - a.updated);
  }

  load(id: string): Conversation | null {
    const value = this.read(conversationKey(id)) as Partial<Conversation> | null;
    if (typeof value !== "object" || value === null || !Array.isArray(value.messages)) return null;
    return {
      id,
      title: typeof value.title === "string" ? value.title : "",
      updated: typeof value.updated === "number" ? value.updated : 0,
      mode: value.mode === "text" ? "text" : "chat",
      system: typeof value.system === "string" ? value.system : "",
      messages: value.messages.map(readMessage).filter((message): message is Message => message !== null),
    };
  }

  /** False where the browser would not keep it. */
  save(conversation: Conversation): boolean {
    const { id, title, updated } = conversation;
    const others = this.list().filter((entry) => entry.id !== id);
    const kept = { ...conversation, messages: conversation.messages.map(withoutTokens) };
    return this.write(conversationKey(id), kept) && this.write(listKey, [{ id, title, updated }, ...others]);
  }

  remove(id: string): void {
    this.write(
      listKey,
      this.list().filter((entry) => entry.id !== id),
    );
    try {
      localStorage.removeItem(conversationKey(id));
    } catch {
      // Storage is forbidden, so there is nothing to remove.
    }
  }

  get current(): string | null {
    const value = this.read("infernum.current");
    return typeof value === "string" ? value : null;
  }
  set current(id: string) {
    this.write("infernum.current", id);
  }

  settings(): Settings {
    return readSettings(this.read("infernum.settings"));
  }
  saveSettings(settings: Settings): boolean {
    return this.write("infernum.settings", settings);
  }

  get apiKey(): string | null {
    try {
      return sessionStorage.getItem("infernum.api_key");
    } catch {
      return null;
    }
  }
  set apiKey(key: string | null) {
    try {
      if (key) sessionStorage.setItem("infernum.api_key", key);
      else sessionStorage.removeItem("infernum.api_key");
    } catch {
      // Without storage the key would have to be typed again after each request; the server's 401 says so.
    }
  }

  private read(key: string): unknown {
    try {
      return read(localStorage, key);
    } catch {
      return null;
    }
  }

  private write(key: string, value: unknown): boolean {
    try {
      localStorage.setItem(key, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }
}
