// Text mode: what the user wrote and what the model went on with, as one running text.
import { useLayoutEffect, useRef } from "preact/hooks";
import { gapBefore, joinText, type Message } from "../chat/conversation";
import type { State, Store } from "../chat/store";
import { Editor } from "./editor";
import { IconButton } from "./icons";
import { Ending } from "./message";
import { TokenView } from "./token_view";

interface DocumentProps {
  store: Store;
  state: State;
  editing: string | null;
  onEdit: (id: string | null) => void;
}

export function Document({ store, state, editing, onEdit }: DocumentProps) {
  const { messages } = state.conversation;
  const { busy, settings } = state;
  const first = messages[0];
  const last = messages[messages.length - 1];
  if (!first || !last) return null;
  const whole = joinText(messages);
  if (editing) {
    const done = (text: string | null) => {
      onEdit(null);
      if (text !== null) store.edit(first.id, text);
    };
    return <Editor text={whole} onDone={done} />;
  }
  return (
    <article class="document" aria-label="Text">
      <div class="running-text">
        {messages.map((message, i) => (
          <span key={message.id} class={message.role}>
            {gapBefore(message, messages[i - 1]?.content ?? "")}
            <Piece message={message} probabilities={settings.probabilities} />
          </span>
        ))}
        {busy && <span class="pulse" aria-hidden="true" />}
      </div>
      {!busy && (
        <Ending store={store} message={last} last busy={busy} copied={whole}>
          <IconButton icon="edit" label="Edit the text and continue" onClick={() => onEdit(first.id)} />
        </Ending>
      )}
    </article>
  );
}

const Piece = ({ message, probabilities }: { message: Message; probabilities: boolean }) =>
  probabilities && message.tokens ? <TokenView tokens={message.tokens} /> : <Growing text={message.content} />;

/** Text that grows by appending to its node; drawn anew only where it is no longer what it was. */
function Growing({ text }: { text: string }) {
  const element = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    const node = element.current?.firstChild;
    if (node instanceof Text && text.length >= node.length) node.appendData(text.slice(node.length));
    else element.current?.replaceChildren(document.createTextNode(text));
  }, [text]);
  return <span ref={element} />;
}
