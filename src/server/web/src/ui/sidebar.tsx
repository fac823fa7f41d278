// The list of conversations; a drawer on narrow screens.
import { memo } from "preact/compat";
import { useEffect, useRef } from "preact/hooks";
import type { Summary } from "../chat/storage";
import type { Store } from "../chat/store";
import { Flame, Icon, IconButton } from "./icons";

interface SidebarProps {
  store: Store;
  summaries: readonly Summary[];
  current: string;
  open: boolean;
  onNew: () => void;
  onClose: () => void;
}

export function Sidebar({ store, summaries, current, open, onNew, onClose }: SidebarProps) {
  const element = useRef<HTMLElement>(null);
  useEffect(() => {
    if (open) element.current?.querySelector<HTMLElement>(".new")?.focus();
  }, [open]);
  return (
    <>
      <div class="backdrop" onClick={onClose} />
      <nav class="sidebar" aria-label="Conversations" ref={element}>
        <div class="brand">
          <Flame />
          <span>Infernum</span>
          <IconButton icon="close" label="Close the list" class="close" onClick={onClose} />
        </div>
        <button type="button" class="new" onClick={onNew} title="New conversation (Alt+N)">
          <Icon name="plus" /> New conversation
        </button>
        <List store={store} summaries={summaries} current={current} onClose={onClose} />
        <div class="foot">
          <button
            type="button"
            class="quiet"
            onClick={() => exportConversation(store)}
            disabled={!summaries.some(({ id }) => id === current)}
          >
            <Icon name="download" /> Export as JSON
          </button>
        </div>
      </nav>
    </>
  );
}

const List = memo(
  ({ store, summaries, current, onClose }: Pick<SidebarProps, "store" | "summaries" | "current" | "onClose">) => (
    <ul class="conversations">
      {summaries.map(({ id, title }) => (
        <li key={id} class={id === current ? "current" : ""}>
          <button type="button" class="open" aria-current={id === current ? "true" : undefined} onClick={() => (store.open(id), onClose())}>
            {title || "Untitled"}
          </button>
          <IconButton icon="trash" label={`Delete: ${title || "Untitled"}`} onClick={() => store.remove(id)} />
        </li>
      ))}
    </ul>
  ),
  (before, after) => before.summaries === after.summaries && before.current === after.current,
);

function exportConversation(store: Store): void {
  const file = URL.createObjectURL(new Blob([store.exported()], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = file;
  link.download = `conversation-${new Date().toISOString().slice(0, 16).replace(/[T:]/g, "-")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(file), 10_000);
}
