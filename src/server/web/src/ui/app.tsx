// The page as a whole: what is where, what is open, and the keys that work everywhere.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Store } from "../chat/store";
import { Composer } from "./composer";
import { HelpDialog, KeyDialog } from "./dialogs";
import { Header } from "./header";
import { copyCode } from "./copy_button";
import { Log } from "./log";
import { Banner, Notice } from "./notices";
import { SettingsDialog } from "./settings_dialog";
import { Sidebar } from "./sidebar";
import { useStore } from "./use_store";

const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

export function App({ store }: { store: Store }) {
  const state = useStore(store);
  const [panel, setPanel] = useState<"settings" | "help" | null>(null);
  const [drawer, setDrawer] = useState(false);
  const [editing, setEditing] = useState<string | null>(null);
  const input = useRef<HTMLTextAreaElement>(null);
  const { conversation, settings, busy } = state;
  const focusInput = () => input.current?.focus();
  const close = () => setPanel(null);

  const start = () => {
    store.startConversation();
    setDrawer(false);
    setEditing(null);
    focusInput();
  };
  const toggleProbabilities = () => store.setSettings({ probabilities: !settings.probabilities });
  const editLast = () => {
    const mine = conversation.messages.filter(({ role }) => role === "user");
    const last = conversation.mode === "text" ? conversation.messages[0] : mine[mine.length - 1];
    if (last && !busy) setEditing(last.id);
  };

  useEffect(() => {
    const { theme } = settings;
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [settings.theme]);

  useEffect(() => {
    const altKeys: Record<string, () => void> = {
      KeyN: start,
      KeyS: () => setPanel("settings"),
      KeyP: toggleProbabilities,
      KeyL: () => setDrawer(true),
    };
    const onKey = (event: KeyboardEvent) => {
      // An open dialog has its own Escape.
      if (event.isComposing || document.querySelector("dialog[open]")) return;
      const alt = event.altKey && !event.ctrlKey && !event.metaKey ? altKeys[event.code] : undefined;
      if (alt) alt();
      else if (event.key === "Escape" && editing) setEditing(null);
      else if (event.key === "Escape" && drawer) setDrawer(false);
      else if (event.key === "Escape" && busy) store.stop();
      else if (event.key === "/" && (event.ctrlKey || event.metaKey)) setPanel("help");
      else if (event.key === "?" && !isTyping(event.target)) setPanel("help");
      else if (event.key === "/" && !isTyping(event.target)) focusInput();
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  });

  useEffect(() => {
    document.addEventListener("click", copyCode);
    return () => document.removeEventListener("click", copyCode);
  }, []);
  useEffect(focusInput, []);

  return (
    <div class={drawer ? "app drawer-open" : "app"}>
      <Sidebar
        store={store}
        summaries={state.conversations}
        current={conversation.id}
        onNew={start}
        onClose={() => setDrawer(false)}
        open={drawer}
      />
      <main>
        <Header
          store={store}
          state={state}
          onMenu={() => setDrawer(true)}
          onSettings={() => setPanel("settings")}
          onHelp={() => setPanel("help")}
          onProbabilities={toggleProbabilities}
        />
        <Banner server={state.server} onKey={() => store.askKey(true)} />
        <Log
          store={store}
          state={state}
          editing={editing}
          onEdit={(id) => (setEditing(id), id ?? focusInput())}
          onSuggest={(text) => (store.send(text), focusInput())}
        />
        <Notice notice={state.notice} onUndo={() => store.undoRemove()} onClose={() => store.notify(null)} />
        <Composer store={store} state={state} inputRef={input} onEditLast={editLast} />
      </main>
      {panel === "settings" && <SettingsDialog store={store} state={state} onClose={close} />}
      {panel === "help" && <HelpDialog onClose={close} />}
      {state.keyWanted && (
        <KeyDialog message={state.server.message ?? ""} onSave={(key) => store.setApiKey(key)} onClose={() => store.askKey(false)} />
      )}
    </div>
  );
}
