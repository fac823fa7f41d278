// What the user set for all conversations. A sampling value that is null is not sent, so that the server's default holds.

export interface NumberField {
  key:
    "temperature" | "top_p" | "top_k" | "min_p" | "max_tokens" | "seed" | "presence_penalty" | "frequency_penalty" | "repetition_penalty";
  label: string;
  hint: string;
  min: number;
  max: number;
  step: number;
  integer: boolean;
}

const number = (key: NumberField["key"], label: string, min: number, max: number, step: number, hint: string): NumberField => {
  return { key, label, hint, min, max, step, integer: Number.isInteger(step) };
};

export const numberFields: readonly NumberField[] = [
  number("temperature", "Temperature", 0, 2, 0.1, "0 always takes the most likely token"),
  number("top_p", "Top p", 0, 1, 0.05, "keeps the likeliest tokens up to this share"),
  number("top_k", "Top k", -1, 1_000_000, 1, "keeps this many tokens; 0 keeps all"),
  number("min_p", "Min p", 0, 1, 0.01, "drops tokens below this part of the likeliest"),
  number("max_tokens", "Max tokens", 1, 10_000_000, 1, "ends the answer there"),
  number("seed", "Seed", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 1, "the same seed gives the same answer"),
  number("presence_penalty", "Presence penalty", -2, 2, 0.1, "against tokens used before"),
  number("frequency_penalty", "Frequency penalty", -2, 2, 0.1, "the more, the oftener used"),
  number("repetition_penalty", "Repetition penalty", 0.01, 10, 0.05, "1 is none"),
];

export type Sampling = Record<NumberField["key"], number | null> & { stop: string };

export interface Settings {
  model: string;
  theme: "system" | "light" | "dark";
  probabilities: boolean;
  sampling: Sampling;
  /** Models that have no chat template, as their server said. */
  textModels: readonly string[];
}

export const defaultSampling: Sampling = {
  temperature: null,
  top_p: null,
  top_k: null,
  min_p: null,
  max_tokens: null,
  seed: null,
  presence_penalty: null,
  frequency_penalty: null,
  repetition_penalty: null,
  stop: "",
};

export const defaultSettings: Settings = { model: "", theme: "system", probabilities: false, sampling: defaultSampling, textModels: [] };

/** The number that was typed; null for an empty field, a message where it does not fit. */
export function parseNumber(field: NumberField, typed: string): number | null | string {
  if (typed.trim() === "") return null;
  const value = Number(typed);
  if (!Number.isFinite(value)) return "not a number";
  if (field.integer && !Number.isSafeInteger(value)) return "a whole number";
  if (value < field.min || value > field.max)
    return field.key === "seed" || field.max > 100_000 ? `at least ${field.min}` : `${field.min} to ${field.max}`;
  return value;
}

/** One stop string a line; \n, \t and \\ stand for a line end, a tab and a backslash. */
export function stopStrings(text: string): string[] {
  const escapes: Record<string, string> = { n: "\n", t: "\t", "\\": "\\" };
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace(/\\([nt\\])/g, (_, letter: string) => escapes[letter] ?? ""));
}

/** Settings out of storage, whatever an older page or a person left there. */
export function readSettings(value: unknown): Settings {
  const given = (typeof value === "object" && value !== null ? value : {}) as Partial<Record<keyof Settings, unknown>>;
  const sampling = (typeof given.sampling === "object" && given.sampling !== null ? given.sampling : {}) as Record<string, unknown>;
  const read = { ...defaultSampling };
  for (const field of numberFields) {
    const parsed = typeof sampling[field.key] === "number" ? parseNumber(field, String(sampling[field.key])) : null;
    read[field.key] = typeof parsed === "number" ? parsed : null;
  }
  if (typeof sampling.stop === "string") read.stop = sampling.stop;
  return {
    model: typeof given.model === "string" ? given.model : "",
    theme: given.theme === "light" || given.theme === "dark" ? given.theme : "system",
    probabilities: given.probabilities === true,
    sampling: read,
    textModels: Array.isArray(given.textModels) ? given.textModels.filter((id): id is string => typeof id === "string") : [],
  };
}
