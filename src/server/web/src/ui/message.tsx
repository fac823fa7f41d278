// One message of a chat: the user's with its editor, the model's with its reasoning, probabilities, measures and errors.
import type { ComponentChildren } from "preact";
import { memo } from "preact/compat";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Bill } from "../api/types";
import { tokensPerSecond } from "../chat/answer";
import type { Message, Stats } from "../chat/conversation";
import type { Store } from "../chat/store";
import { AnswerView } from "../render/answer_view";
import { CopyButton } from "./copy_button";
import { Editor } from "./editor";
import { IconButton } from "./icons";
import { TokenView } from "./token_view";

interface UserProps {
  store: Store;
  message: Message;
  busy: boolean;
  editing: boolean;
  onEdit: (id: string | null) => void;
}

const sameBut =
  <P extends object>(ignored: string) =>
  (before: P, after: P) =>
    Object.keys(after).every((key) => key === ignored || before[key as keyof P] === after[key as keyof P]);

export const UserMessage = memo(({ store, message, busy, editing, onEdit }: UserProps) => {
  const done = (text: string | null) => {
    onEdit(null);
    if (text !== null) store.edit(message.id, text);
  };
  return (
    <article class={editing ? "message user editing" : "message user"} aria-label="You">
      {editing ? <Editor text={message.content} onDone={done} /> : <div class="bubble">{message.content}</div>}
      {!editing && (
        <div class="actions">
          <CopyButton text={message.content} />
          <IconButton icon="edit" label="Edit and send again" disabled={busy} onClick={() => onEdit(message.id)} />
        </div>
      )}
    </article>
  );
}, sameBut<UserProps>("onEdit"));

interface AnswerProps {
  store: Store;
  message: Message;
  busy: boolean;
  last: boolean;
  growing: boolean;
  probabilities: boolean;
}

export const AnswerMessage = memo(({ store, message, busy, last, growing, probabilities }: AnswerProps) => {
  const { content, reasoning, tokens } = message;
  return (
    <article class="message answer" aria-label="Answer" aria-busy={growing}>
      {reasoning && <Reasoning text={reasoning} growing={growing && content === ""} finished={!growing} />}
      {probabilities && tokens ? <TokenView tokens={tokens} /> : content !== "" && <Markdown text={content} finished={!growing} />}
      {growing && content === "" && !reasoning && <Thinking />}
      {!growing && <Ending store={store} message={message} last={last} busy={busy} />}
    </article>
  );
}, sameBut<AnswerProps>(""));

interface EndingProps {
  store: Store;
  message: Message;
  last: boolean;
  busy: boolean;
  copied?: string;
  children?: ComponentChildren;
}

/** What stands below an answer that has ended; also used in text mode. */
export function Ending({ store, message, last, busy, copied = message.content, children }: EndingProps) {
  const { error, finish, stats } = message;
  return (
    <>
      {error && (
        <div class="error" role="alert">
          <span>{error.message}</span>
          {last && error.code === "no_chat_template" && (
            <button type="button" onClick={() => store.continueAsText(message.id)}>
              Continue as text
            </button>
          )}
          {last && error.status === 401 && (
            <button type="button" onClick={() => store.askKey(true)}>
              Enter the key
            </button>
          )}
          {last && (
            <button type="button" onClick={() => store.retry(message.id)}>
              Retry
            </button>
          )}
        </div>
      )}
      <div class="actions">
        {copied !== "" && <CopyButton text={copied} />}
        {children}
        {last && message.role === "assistant" && !error && (
          <IconButton icon="retry" label="Answer again" disabled={busy} onClick={() => store.retry(message.id)} />
        )}
        <Measures words={[...endings(finish), ...(stats ? measures(stats) : [])].join(" · ")} bill={stats?.bill} />
      </div>
    </>
  );
}

const endings = (finish: Message["finish"]): string[] =>
  finish === "length" ? ["cut at the token limit"] : finish === "stopped" ? ["stopped"] : finish === "interrupted" ? ["interrupted"] : [];

function measures(stats: Stats): string[] {
  const rate = tokensPerSecond(stats);
  return [
    `${stats.completionTokens} tokens`,
    ...(rate === null ? [] : [`${rate.toFixed(1)} tokens/s`]),
    `first after ${stats.firstTokenSeconds.toFixed(2)} s`,
  ];
}

/** What the answer took; the server's own account of its time unfolds below. */
function Measures({ words, bill }: { words: string; bill?: Bill }) {
  if (!bill) return <span class="stats">{words}</span>;
  const again = bill.preemptions > 0 ? [`set back ${bill.preemptions} times`] : [];
  const parts = [
    `waited ${duration(bill.queue_ms)}`,
    `prompt ${duration(bill.prefill_ms)} (${bill.cached_tokens} of ${bill.prompt_tokens} tokens cached)`,
    `answer ${duration(bill.decode_ms)}`,
    ...again,
  ];
  return (
    <details class="stats">
      <summary>{words}</summary>
      {parts.join(" · ")}
    </details>
  );
}

const duration = (ms: number): string => (ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);

function Markdown({ text, finished }: { text: string; finished: boolean }) {
  const element = useRef<HTMLDivElement>(null);
  const view = useRef<AnswerView | null>(null);
  useLayoutEffect(() => {
    if (!element.current) return;
    view.current ??= new AnswerView(element.current);
    view.current.update(text, finished);
  }, [text, finished]);
  return <div class="markdown" ref={element} />;
}

/** Open while nothing but reasoning has come would push the answer about, so it stays folded until asked for. */
function Reasoning({ text, growing, finished }: { text: string; growing: boolean; finished: boolean }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="reasoning" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{growing ? "Reasoning…" : "Reasoning"}</summary>
      {open && <Markdown text={text} finished={finished} />}
    </details>
  );
}

/** Shown until the first token; counts once waiting gets long. */
function Thinking() {
  const [seconds, setSeconds] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setSeconds((before) => before + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <div class="thinking" aria-hidden="true">
      <span class="pulse" />
      {seconds >= 3 && <span>{seconds} s</span>}
    </div>
  );
}
