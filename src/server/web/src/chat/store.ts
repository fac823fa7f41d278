// The state of the page and everything a user can do to it. Views subscribe and draw; nothing here touches the document's elements.
import { Client } from "../api/client";
import { ApiError, ConnectionError, type Delta, type Model } from "../api/types";
import { Answer, roomLeft } from "./answer";
import {
  cutBefore,
  newConversation,
  newId,
  withChanged,
  withMessage,
  withoutTokens,
  type Conversation,
  type Message,
  type Mode,
} from "./conversation";
import { requestOf, type Request } from "./request";
import type { Settings } from "./settings";
import { listKey, type ChatStorage, type Summary } from "./storage";

export type Server = { state: "connecting" | "ready"; message?: undefined } | { state: "loading" | "gone" | "locked"; message: string };

export interface State {
  server: Server;
  models: readonly Model[];
  conversations: readonly Summary[];
  conversation: Conversation;
  settings: Settings;
  /** An answer is under way or waited for. */
  busy: boolean;
  keyWanted: boolean;
  notice: { text: string; undo?: Conversation } | null;
}

const savePeriodMs = 2000;

/** Resolves early when the signal aborts. */
const sleep = (ms: number, signal?: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });

/** How long to wait before asking again, within reason whatever the server says. */
const patience = (error: unknown, otherwise: number) =>
  1000 * Math.min(Math.max((error instanceof ApiError && error.retryAfterSeconds) || otherwise, 0.5), 30);

const isLoading = (error: unknown): error is ApiError =>
  error instanceof ApiError && error.status === 503 && error.code === "model_loading";

export class Store {
  private state: State;
  private readonly listeners = new Set<() => void>();
  private readonly client: Client;
  private apiKey: string | null;
  private controller: AbortController | null = null;
  private answer: { id: string; draft: Answer } | null = null;
  private frameWanted = false;
  private savedAt = 0;
  private connecting = false;
  private leaving = false;

  constructor(private readonly storage: ChatStorage) {
    const settings = storage.settings();
    this.apiKey = storage.apiKey;
    this.client = new Client(() => this.apiKey);
    const current = storage.current;
    const conversation = (current && storage.load(current)) || newConversation("chat", "");
    this.state = {
      server: { state: "connecting" },
      models: [],
      conversations: storage.list(),
      conversation,
      settings,
      busy: false,
      keyWanted: false,
      notice: null,
    };
    window.addEventListener("storage", (event) => event.key === listKey && this.set({ conversations: storage.list() }));
    // Leaving breaks the connection before the page is hidden: that is no failure of the server.
    window.addEventListener("beforeunload", () => {
      this.leaving = true;
      setTimeout(() => (this.leaving = false), 1000);
    });
    window.addEventListener("pagehide", () => this.answer && this.save());
  }

  get = (): State => this.state;
  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** The model that answers: the chosen one where the server has it, else the server's first. */
  get model(): Model | null {
    const { models, settings } = this.state;
    return models.find(({ id }) => id === settings.model) ?? models[0] ?? null;
  }

  /** Asks for the models until the server gives them; says meanwhile why not. */
  async connect(): Promise<void> {
    if (this.connecting) return;
    this.connecting = true;
    try {
      for (;;) {
        try {
          this.set({ models: await this.client.models(), server: { state: "ready" } });
          this.startMode();
          return;
        } catch (error) {
          const message = messageOf(error);
          if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
            this.set({ server: { state: "locked", message }, keyWanted: true });
            return;
          }
          this.set({ server: { state: error instanceof ApiError ? "loading" : "gone", message } });
          await sleep(patience(error, 2));
        }
      }
    } finally {
      this.connecting = false;
    }
  }

  setApiKey(key: string): void {
    this.apiKey = key || null;
    this.storage.apiKey = this.apiKey;
    this.set({ keyWanted: false });
    void this.connect();
    const last = this.lastMessage();
    if (last?.error?.status === 401) this.retry(last.id);
  }
  askKey = (keyWanted: boolean) => this.set({ keyWanted });

  send(text: string): void {
    if (this.state.busy) return;
    const { conversation } = this.state;
    if (text.trim() !== "")
      this.show(withMessage(conversation, { id: newId(), role: "user", content: conversation.mode === "text" ? text : text.trim() }));
    else if (conversation.mode === "chat" || conversation.messages.length === 0) return;
    void this.run();
  }

  stop = () => this.controller?.abort();

  /** Answers anew in place of the answer `id`. */
  retry(id: string): void {
    if (this.state.busy) return;
    this.show(cutBefore(this.state.conversation, id));
    void this.run();
  }

  /** Puts other words in place of a message; what followed it goes. */
  edit(id: string, text: string): void {
    if (this.state.busy) return;
    this.show(cutBefore(this.state.conversation, id));
    this.send(text);
  }

  startConversation(): void {
    const { conversation } = this.state;
    if (conversation.messages.length > 0) this.open(newConversation(this.modeOfModel(), conversation.system));
  }

  open(conversation: Conversation | string): void {
    const opened = typeof conversation === "string" ? this.storage.load(conversation) : conversation;
    if (!opened || opened.id === this.state.conversation.id) return;
    this.stop();
    this.storage.current = opened.id;
    this.set({ conversation: opened });
  }

  remove(id: string): void {
    const undo = id === this.state.conversation.id ? this.state.conversation : this.storage.load(id);
    if (id === this.state.conversation.id) this.open(newConversation(this.modeOfModel(), this.state.conversation.system));
    this.storage.remove(id);
    this.set({ conversations: this.storage.list(), notice: undo ? { text: "Conversation deleted.", undo } : null });
  }

  undoRemove(): void {
    const restored = this.state.notice?.undo;
    if (!restored) return;
    this.set({ notice: null });
    this.open(restored);
    this.save();
  }
  notify = (text: string | null) => this.set({ notice: text === null ? null : { text } });

  setSettings(change: Partial<Settings>): void {
    const settings = { ...this.state.settings, ...change };
    this.set({ settings });
    if (!this.storage.saveSettings(settings)) this.notify("This browser does not keep the settings.");
    if (change.model !== undefined) this.startMode();
  }
  setSystem = (system: string) => this.show({ ...this.state.conversation, system });

  setMode(mode: Mode): void {
    const id = this.model?.id ?? "";
    const others = this.state.settings.textModels.filter((other) => other !== id);
    this.setSettings({ textModels: mode === "text" ? [...others, id] : others });
    this.show({ ...this.state.conversation, mode });
  }

  /** The answer `id` failed for want of a chat template: goes on as text. */
  continueAsText(id: string): void {
    if (this.state.busy) return;
    this.setMode("text");
    this.retry(id);
  }

  /** The conversation as JSON, for a file. */
  exported(): string {
    const { conversation } = this.state;
    return JSON.stringify({ ...conversation, messages: conversation.messages.map(withoutTokens) }, null, 2);
  }

  private modeOfModel(): Mode {
    return this.state.settings.textModels.includes(this.model?.id ?? "") ? "text" : "chat";
  }

  private startMode(): void {
    const { conversation } = this.state;
    if (conversation.messages.length === 0) this.set({ conversation: { ...conversation, mode: this.modeOfModel() } });
  }

  private lastMessage(): Message | undefined {
    return this.state.conversation.messages[this.state.conversation.messages.length - 1];
  }

  /** Answers the conversation as it stands. */
  private async run(): Promise<void> {
    const model = this.model?.id ?? "";
    const asked = this.state.conversation;
    const message: Message = { id: newId(), role: "assistant", content: "", model };
    const controller = new AbortController();
    const draft = new Answer(performance.now());
    this.controller = controller;
    this.answer = { id: message.id, draft };
    this.set({ busy: true, notice: null });
    this.show(withMessage(asked, message));
    let change: Partial<Message> = {};
    try {
      for await (const delta of this.deltas(
        requestOf(asked, model, this.state.settings, roomLeft(asked, this.model?.max_model_len)),
        controller.signal,
      )) {
        draft.add(delta, performance.now());
        this.drawSoon();
      }
      this.set({ server: { state: "ready" } });
    } catch (error) {
      change = controller.signal.aborted ? { finish: "stopped" } : this.leaving ? { finish: "interrupted" } : this.failed(error);
    }
    this.answer = null;
    this.controller = null;
    this.finish(asked, message.id, { ...draft.snapshot(), ...change });
  }

  private finish(asked: Conversation, id: string, change: Partial<Message>): void {
    this.set({ busy: false });
    const current = this.state.conversation;
    if (current.id !== asked.id) {
      // Another conversation was opened meanwhile; this one keeps what had come.
      const left = this.storage.load(asked.id);
      if (left) this.store(withChanged(left, id, change));
      return;
    }
    this.show(withChanged(current, id, change));
    if (change.error?.code !== "no_chat_template") return;
    const firstQuestion = current.messages.length === 2;
    if (firstQuestion) this.continueAsText(id);
  }

  /** What the message says of an error; the state of the server follows from it too. */
  private failed(error: unknown): Partial<Message> {
    const status = error instanceof ApiError ? error.status : 0;
    const code = error instanceof ApiError ? error.code : null;
    let message = messageOf(error);
    if (status === 401) this.set({ server: { state: "locked", message }, keyWanted: true });
    if (status === 429 && error instanceof ApiError && error.retryAfterSeconds)
      message += ` (The server asks for ${Math.ceil(error.retryAfterSeconds)} s of patience.)`;
    if (error instanceof ConnectionError) void this.connect();
    return { finish: "error", error: { message, code, status } };
  }

  /** Waits for a model that is still being loaded. */
  private async *deltas({ path, body }: Request, signal: AbortSignal): AsyncGenerator<Delta> {
    for (;;) {
      try {
        yield* this.client.stream(path, body, signal);
        return;
      } catch (error) {
        if (!isLoading(error)) throw error;
        this.set({ server: { state: "loading", message: error.message } });
        await sleep(patience(error, 2), signal);
        signal.throwIfAborted();
      }
    }
  }

  /** Draws the answer at the next frame; a hidden page has none, so a timer stands in. */
  private drawSoon(): void {
    if (this.frameWanted) return;
    this.frameWanted = true;
    const draw = () => {
      this.frameWanted = false;
      if (!this.answer) return;
      this.set({
        conversation: withChanged(this.state.conversation, this.answer.id, this.answer.draft.snapshot()),
        server: { state: "ready" },
      });
      if (performance.now() - this.savedAt > savePeriodMs) this.save();
    };
    if (document.hidden) setTimeout(draw, 250);
    else requestAnimationFrame(draw);
  }

  private show(conversation: Conversation): void {
    this.set({ conversation });
    this.save();
  }

  /** An empty conversation is not worth keeping. */
  private save(): void {
    let { conversation } = this.state;
    if (this.answer) conversation = withChanged(conversation, this.answer.id, { ...this.answer.draft.snapshot(), finish: "interrupted" });
    this.storage.current = conversation.id;
    if (conversation.messages.length > 0) this.store(conversation);
  }

  private store(conversation: Conversation): void {
    this.savedAt = performance.now();
    if (!this.storage.save(conversation))
      this.notify("The browser's storage is full or off: this conversation will not be kept. Export it, or delete others.");
    this.set({ conversations: this.storage.list() });
  }

  private set(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}

function messageOf(error: unknown): string {
  if (error instanceof SyntaxError) return "The server sent something that is no answer.";
  return error instanceof Error && error.message ? error.message : "Something went wrong.";
}
