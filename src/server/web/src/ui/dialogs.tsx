// Dialogs: a frame that the browser keeps the focus in, the list of keys, and the question for the API key.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import licences from "virtual:licences";
import { IconButton } from "./icons";

interface DialogProps {
  title: string;
  class?: string;
  onClose: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, class: extra = "", onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    return () => before instanceof HTMLElement && before.focus();
  }, []);
  // A click on the dialog itself, not on what it holds, is one on the backdrop.
  return (
    <dialog
      ref={element}
      class={extra}
      aria-label={title}
      onClose={onClose}
      onClick={(event) => event.target === element.current && onClose()}
    >
      <div class="dialog-content">
        <div class="dialog-head">
          <h2>{title}</h2>
          <IconButton icon="close" label="Close" onClick={onClose} />
        </div>
        {children}
      </div>
    </dialog>
  );
}

const keys: readonly (readonly [keys: string[], what: string])[] = [
  [["Enter"], "send the message"],
  [["Shift", "Enter"], "new line"],
  [["Esc"], "stop the answer"],
  [["↑"], "edit the last message (in an empty field)"],
  [["/"], "go to the message field"],
  [["Alt", "N"], "new conversation"],
  [["Alt", "L"], "list of conversations"],
  [["Alt", "P"], "token probabilities on or off"],
  [["Alt", "S"], "settings"],
  [["←", "→"], "next token, in the probability view"],
  [["Ctrl", "/"], "this list"],
];

export const HelpDialog = ({ onClose }: { onClose: () => void }) => (
  <Dialog title="Keyboard shortcuts" onClose={onClose}>
    <dl class="keys">
      {keys.map(([names, what]) => (
        <div key={what}>
          <dt>
            {names.map((name) => (
              <kbd key={name}>{name}</kbd>
            ))}
          </dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
    <p class="hint">Conversations stay in this browser. Nothing is sent but to the server that this page came from.</p>
    <a class="hint" href={licences} target="_blank" rel="noopener noreferrer">
      Licences of the libraries in this page
    </a>
  </Dialog>
);

export function KeyDialog({ message, onSave, onClose }: { message: string; onSave: (key: string) => void; onClose: () => void }) {
  const [key, setKey] = useState("");
  return (
    <Dialog title="API key" onClose={onClose}>
      <p class="hint">{message || "The server wants an API key."} The key is kept until this tab is closed.</p>
      <div class="key-row">
        <input
          type="password"
          autocomplete="off"
          spellcheck={false}
          aria-label="API key"
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Enter" && key.trim() !== "" && onSave(key.trim())}
        />
        <button type="button" class="primary" disabled={key.trim() === ""} onClick={() => onSave(key.trim())}>
          Use key
        </button>
      </div>
    </Dialog>
  );
}
