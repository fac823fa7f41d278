// Where the user writes, with what the answer under way costs.
import type { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { contextTokens, tokensPerSecond } from "../chat/answer";
import type { State, Store } from "../chat/store";
import { Icon } from "./icons";

interface ComposerProps {
  store: Store;
  state: State;
  inputRef: RefObject<HTMLTextAreaElement | null>;
  onEditLast: () => void;
}

export function Composer({ store, state, inputRef, onEditLast }: ComposerProps) {
  const [text, setText] = useState("");
  const { busy, conversation } = state;
  const textMode = conversation.mode === "text";
  const mayContinue = textMode && conversation.messages.length > 0;

  useLayoutEffect(() => fitHeight(inputRef.current), [text]);

  const send = () => {
    if (busy || (text.trim() === "" && !mayContinue)) return;
    store.send(text);
    setText("");
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      send();
    } else if (event.key === "ArrowUp" && text === "" && !busy) {
      event.preventDefault();
      onEditLast();
    }
  };

  return (
    <div class="composer">
      <div class="box">
        <textarea
          ref={inputRef}
          rows={1}
          value={text}
          aria-label={textMode ? "Text to continue" : "Message"}
          placeholder={
            textMode ? (mayContinue ? "Write on, or continue with Enter" : "Begin a text; the model goes on") : "Write a message"
          }
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        {busy ? (
          <button type="button" class="send" aria-label="Stop (Esc)" title="Stop (Esc)" onClick={store.stop}>
            <Icon name="stop" />
          </button>
        ) : (
          <button
            type="button"
            class="send"
            aria-label="Send (Enter)"
            title="Send (Enter)"
            disabled={text.trim() === "" && !mayContinue}
            onClick={send}
          >
            <Icon name="send" />
          </button>
        )}
      </div>
      <Meter store={store} state={state} />
    </div>
  );
}

function fitHeight(area: HTMLTextAreaElement | null): void {
  if (!area) return;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}

function Meter({ store, state }: { store: Store; state: State }) {
  const { conversation, busy } = state;
  const last = conversation.messages[conversation.messages.length - 1];
  const rate = busy && last?.stats ? tokensPerSecond(last.stats) : null;
  const used = contextTokens(conversation);
  const room = store.model?.max_model_len;
  const share = used !== null && room ? Math.min(1, used / room) : null;
  return (
    <div class="meter">
      <span class="rate">{rate !== null && `${rate.toFixed(1)} tokens/s`}</span>
      {used !== null && (
        <span class={share !== null && share > 0.9 ? "context nearly-full" : "context"}>
          <span>{room ? `context ${used} of ${room} tokens` : `context ${used} tokens`}</span>
          {share !== null && (
            <span class="gauge" aria-hidden="true">
              <span style={{ width: `${share * 100}%` }} />
            </span>
          )}
        </span>
      )}
    </div>
  );
}
