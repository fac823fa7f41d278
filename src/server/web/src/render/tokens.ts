// How a token is shown: its bytes exactly, with signs for what would be invisible.
import type { Candidate } from "../api/types";

const signs: Record<string, string> = {
  " ": "·",
  "\n": "↵",
  "\r": "␍",
  "\t": "⇥",
  "\u00a0": "⍽",
  "\u200b": "[zwsp]",
  "\u200d": "[zwj]",
  "\ufeff": "[bom]",
};

const hex = (byte: number) => `\\x${byte.toString(16).toUpperCase().padStart(2, "0")}`;

/** The bytes as text where they are UTF-8, else each byte that is not as \xNN. */
export function bytesToText(bytes: readonly number[]): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at] ?? 0;
    const length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    try {
      text += new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes.slice(at, at + length)));
      at += length;
    } catch {
      text += hex(first);
      ++at;
    }
  }
  return text;
}

/** The token's text within the answer; bytes that are no text alone come as \xNN. */
export const tokenText = ({ token, bytes }: Candidate): string => (bytes && token.includes("\ufffd") ? bytesToText(bytes) : token);

/** The token by itself: blanks, line ends and control characters get signs, an empty one (a special token) is named so. */
export function tokenLabel(candidate: Candidate): string {
  const text = tokenText(candidate);
  if (text === "") return "(no text)";
  return [...text]
    .map(
      (char) =>
        signs[char] ??
        (/[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/u.test(char) ? `[U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}]` : char),
    )
    .join("");
}

export const probability = (logprob: number): number => Math.min(1, Math.exp(logprob));

export function percent(logprob: number): string {
  const share = probability(logprob) * 100;
  if (share === 0) return "0 %";
  if (share < 0.01) return "< 0.01 %";
  return `${share < 1 ? share.toFixed(2) : share.toFixed(1)} %`;
}

/** 0 for a sure token to 5 for a very unlikely one: the shade. */
export function shade(logprob: number): number {
  const limits = [0.9, 0.6, 0.3, 0.1, 0.02];
  const at = limits.findIndex((limit) => probability(logprob) >= limit);
  return at < 0 ? limits.length : at;
}
