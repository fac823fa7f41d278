// The bar at the top: which model answers, and the switches.
import type { State, Store } from "../chat/store";
import { IconButton } from "./icons";

interface HeaderProps {
  store: Store;
  state: State;
  onMenu: () => void;
  onSettings: () => void;
  onHelp: () => void;
  onProbabilities: () => void;
}

export function Header({ store, state, onMenu, onSettings, onHelp, onProbabilities }: HeaderProps) {
  const { models, settings } = state;
  const dark = settings.theme === "dark" || (settings.theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  return (
    <header class="header">
      <IconButton icon="menu" label="Conversations" class="menu" onClick={onMenu} />
      <select
        class="model"
        aria-label="Model"
        value={store.model?.id ?? ""}
        disabled={models.length === 0}
        onChange={(event) => store.setSettings({ model: event.currentTarget.value })}
      >
        {models.length === 0 && <option value="">no model yet</option>}
        {models.map(({ id }) => (
          <option key={id} value={id}>
            {id}
          </option>
        ))}
      </select>
      <span class="spacer" />
      <IconButton icon="shades" label="Token probabilities (Alt+P)" pressed={settings.probabilities} onClick={onProbabilities} />
      <IconButton icon="sliders" label="Settings (Alt+S)" onClick={onSettings} />
      <IconButton
        icon={dark ? "sun" : "moon"}
        class="theme"
        label={dark ? "Light colours" : "Dark colours"}
        onClick={() => store.setSettings({ theme: dark ? "light" : "dark" })}
      />
      <IconButton icon="help" label="Keyboard shortcuts (Ctrl+/)" onClick={onHelp} />
    </header>
  );
}
