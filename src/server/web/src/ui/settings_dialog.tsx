// Settings: the system prompt of this conversation, sampling, colours.
import { useState } from "preact/hooks";
import { defaultSampling, numberFields, parseNumber, type NumberField, type Settings } from "../chat/settings";
import type { State, Store } from "../chat/store";
import { Dialog } from "./dialogs";

export function SettingsDialog({ store, state, onClose }: { store: Store; state: State; onClose: () => void }) {
  const { settings, conversation, busy } = state;
  const [resets, setResets] = useState(0);
  const setSampling = (change: Partial<Settings["sampling"]>) => store.setSettings({ sampling: { ...settings.sampling, ...change } });
  return (
    <Dialog title="Settings" class="sheet" onClose={onClose}>
      <label class="field">
        <span>
          System prompt <small>for this conversation</small>
        </span>
        <textarea
          rows={4}
          value={conversation.system}
          disabled={conversation.mode === "text"}
          onInput={(event) => store.setSystem(event.currentTarget.value)}
        />
      </label>
      <Choice
        label="Mode"
        value={conversation.mode}
        disabled={busy}
        options={[
          ["chat", "Chat"],
          ["text", "Continue text"],
        ]}
        onChange={(mode) => store.setMode(mode)}
      />
      <div class="section-head">
        <h3>Sampling</h3>
        <button type="button" class="quiet" onClick={() => (setSampling(defaultSampling), setResets(resets + 1))}>
          Reset
        </button>
      </div>
      <p class="hint">An empty field leaves the choice to the server and the model.</p>
      <div class="numbers" key={resets}>
        {numberFields.map((field) => (
          <NumberInput
            key={field.key}
            field={field}
            value={settings.sampling[field.key]}
            onChange={(value) => setSampling({ [field.key]: value })}
          />
        ))}
      </div>
      <label class="field">
        <span>
          Stop strings <small>one a line; \n is a line end</small>
        </span>
        <textarea rows={2} value={settings.sampling.stop} onInput={(event) => setSampling({ stop: event.currentTarget.value })} />
      </label>
      <Choice
        label="Colours"
        value={settings.theme}
        options={[
          ["system", "System"],
          ["light", "Light"],
          ["dark", "Dark"],
        ]}
        onChange={(theme) => store.setSettings({ theme })}
      />
      <div class="section-head">
        <h3>API key</h3>
        <button type="button" class="quiet" onClick={() => (onClose(), store.askKey(true))}>
          Enter or change
        </button>
      </div>
    </Dialog>
  );
}

/** Keeps what was typed even where it does not fit; only what fits becomes the setting. */
function NumberInput({ field, value, onChange }: { field: NumberField; value: number | null; onChange: (value: number | null) => void }) {
  const [typed, setTyped] = useState(value === null ? "" : String(value));
  const parsed = parseNumber(field, typed);
  const wrong = typeof parsed === "string" ? parsed : null;
  const onInput = (text: string) => {
    setTyped(text);
    const next = parseNumber(field, text);
    onChange(typeof next === "string" ? null : next);
  };
  return (
    <label class="field" title={field.hint}>
      <span>{field.label}</span>
      <input
        type="text"
        inputMode={field.integer ? "numeric" : "decimal"}
        autocomplete="off"
        placeholder="default"
        value={typed}
        aria-invalid={wrong ? "true" : undefined}
        aria-label={`${field.label}: ${field.hint}`}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      {wrong && <small class="wrong">{wrong}</small>}
    </label>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [value: T, label: string])[];
  disabled?: boolean;
  onChange: (value: T) => void;
}

const Choice = <T extends string>({ label, value, options, disabled, onChange }: ChoiceProps<T>) => (
  <div class="choice" role="group" aria-label={label}>
    <span>{label}</span>
    <div class="segments">
      {options.map(([option, name]) => (
        <button type="button" key={option} aria-pressed={option === value} disabled={disabled} onClick={() => onChange(option)}>
          {name}
        </button>
      ))}
    </div>
  </div>
);
