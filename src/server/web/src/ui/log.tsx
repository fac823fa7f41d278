// The conversation: its messages in turn, or one text in text mode; follows the answer while the reader is at the end.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { State, Store } from "../chat/store";
import { Document } from "./document";
import { Flame, IconButton } from "./icons";
import { AnswerMessage, UserMessage } from "./message";

interface LogProps {
  store: Store;
  state: State;
  editing: string | null;
  onEdit: (id: string | null) => void;
  onSuggest: (text: string) => void;
}

/** As close to the end as this counts as being there. */
const nearEndPixels = 60;

export function Log({ store, state, editing, onEdit, onSuggest }: LogProps) {
  const { conversation, busy } = state;
  const element = useRef<HTMLDivElement>(null);
  const [away, setAway] = useState(false);
  const toEnd = () => element.current?.scrollTo({ top: element.current.scrollHeight });
  const onScroll = () => {
    const log = element.current;
    if (log) setAway(log.scrollHeight - log.scrollTop - log.clientHeight > nearEndPixels);
  };

  useLayoutEffect(() => {
    if (!away) toEnd();
  });
  const questions = conversation.messages.filter(({ role }) => role === "user").length;
  useEffect(() => {
    setAway(false);
    toEnd();
  }, [conversation.id, questions]);

  return (
    <div class="log-frame">
      <div class="log" ref={element} onScroll={onScroll} tabIndex={-1}>
        <div class="column" role="log" aria-label="Conversation" aria-live="polite" aria-busy={busy}>
          {conversation.messages.length === 0 && <Welcome textMode={conversation.mode === "text"} onSuggest={onSuggest} />}
          {conversation.mode === "text" ? (
            <Document store={store} state={state} editing={editing} onEdit={onEdit} />
          ) : (
            <Messages store={store} state={state} editing={editing} onEdit={onEdit} />
          )}
        </div>
      </div>
      {away && <IconButton icon="down" class="to-end" label="To the end" onClick={() => (setAway(false), toEnd())} />}
      <Announcer state={state} />
    </div>
  );
}

function Messages({ store, state, editing, onEdit }: Omit<LogProps, "onSuggest">) {
  const { conversation, busy, settings } = state;
  const lastIndex = conversation.messages.length - 1;
  return (
    <>
      {conversation.messages.map((message, i) =>
        message.role === "user" ? (
          <UserMessage key={message.id} store={store} message={message} busy={busy} editing={editing === message.id} onEdit={onEdit} />
        ) : (
          <AnswerMessage
            key={message.id}
            store={store}
            message={message}
            busy={busy}
            last={i === lastIndex}
            growing={busy && i === lastIndex}
            probabilities={settings.probabilities}
          />
        ),
      )}
    </>
  );
}

const suggestions = {
  chat: ["Tell me a story about a fox.", "Write a haiku about rain.", "Explain what a hash table is, with code."],
  text: ["Once upon a time", "The three rules of good writing are:"],
};

const Welcome = ({ textMode, onSuggest }: { textMode: boolean; onSuggest: (text: string) => void }) => (
  <div class="welcome">
    <Flame />
    <h1>{textMode ? "Begin a text" : "What is on your mind?"}</h1>
    <p>
      {textMode
        ? "This model has no chat template: it goes on with what you write."
        : "The model runs on your own server. Conversations stay in this browser."}
    </p>
    <div class="suggestions">
      {suggestions[textMode ? "text" : "chat"].map((text) => (
        <button type="button" key={text} onClick={() => onSuggest(text)}>
          {text}
        </button>
      ))}
    </div>
  </div>
);

/** Says to a screen reader that an answer begins and how it ended; its text is in the log. */
function Announcer({ state }: { state: State }) {
  const { busy, conversation } = state;
  const last = conversation.messages[conversation.messages.length - 1];
  const [asked, setAsked] = useState(false);
  useEffect(() => {
    if (busy) setAsked(true);
  }, [busy]);
  const ended = last?.finish === "stopped" ? "Answer stopped." : last?.error ? `Error: ${last.error.message}` : "Answer complete.";
  return (
    <div class="visually-hidden" role="status">
      {busy ? "The model is answering." : asked ? ended : ""}
    </div>
  );
}
