// Edits a message in its place.
import { useEffect, useRef, useState } from "preact/hooks";

/** Calls `onDone` with the new text, or with null when the user gave up. */
export function Editor({ text, onDone }: { text: string; onDone: (text: string | null) => void }) {
  const [value, setValue] = useState(text);
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    area.current?.focus();
    area.current?.setSelectionRange(text.length, text.length);
  }, []);
  const send = () => value.trim() !== "" && onDone(value);
  return (
    <div class="editor">
      <textarea
        ref={area}
        aria-label="Edit the message"
        rows={Math.min(16, value.split("\n").length + 1)}
        value={value}
        onInput={(event) => setValue(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          send();
        }}
      />
      <div class="editor-actions">
        <button type="button" class="quiet" onClick={() => onDone(null)}>
          Cancel
        </button>
        <button type="button" class="primary" disabled={value.trim() === ""} onClick={send}>
          Send
        </button>
      </div>
    </div>
  );
}
