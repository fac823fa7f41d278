// The tokens of an answer, shaded by how sure the model was of each; pointing at one, or arrow keys, shows what else it might have been.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Candidate, TokenInfo } from "../api/types";
import { percent, probability, shade, tokenLabel, tokenText } from "../render/tokens";

const cardWidth = 270;
const cardHeight = 220; // at most: five alternatives and the token itself

/** A token and the card's place in the window. */
interface Pointed {
  index: number;
  left: number;
  /** Distance from the window's upper edge, or from its lower one where there is no room below the token. */
  top?: number;
  bottom?: number;
}

export function TokenView({ tokens }: { tokens: readonly TokenInfo[] }) {
  const list = useRef<HTMLSpanElement>(null);
  const drawn = useRef<readonly TokenInfo[] | null>(null);
  const [pointed, setPointed] = useState<Pointed | null>(null);

  // The list only grows while an answer comes, so that spans are added, never drawn again.
  useLayoutEffect(() => {
    if (!list.current) return;
    if (drawn.current !== tokens) list.current.replaceChildren();
    drawn.current = tokens;
    for (let i = list.current.childElementCount; i < tokens.length; ++i) list.current.append(tokenSpan(tokens[i]!, i));
  }, [tokens, tokens.length]);

  // The card stands still in the window, so it goes when the text moves.
  useEffect(() => {
    if (!pointed) return;
    const hide = () => setPointed(null);
    document.addEventListener("wheel", hide, { passive: true });
    return () => document.removeEventListener("wheel", hide);
  }, [pointed]);

  const point = (index: number) => {
    const span = list.current?.children[index];
    span?.scrollIntoView({ block: "nearest" });
    const place = span?.getClientRects()[0];
    if (!place) return;
    const left = Math.max(8, Math.min(place.left, innerWidth - cardWidth - 8));
    const below = place.bottom + 6;
    setPointed({ index, left, ...(below + cardHeight < innerHeight ? { top: below } : { bottom: innerHeight - place.top + 6 }) });
  };
  const onPoint = (event: Event) => {
    const span = event.target instanceof HTMLElement ? event.target.closest<HTMLElement>(".token") : null;
    if (span) point(Number(span.dataset.index));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const at = pointed?.index ?? -1;
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tokens.length - 1 }[event.key];
    if (event.key === "Escape" && pointed) setPointed(null);
    else if (next !== undefined) point(Math.max(0, Math.min(next, tokens.length - 1)));
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const chosen = pointed && tokens[pointed.index];
  return (
    <span
      class="tokens"
      tabIndex={0}
      role="group"
      aria-label="Tokens with their probabilities; arrow keys go through them"
      onMouseOver={onPoint}
      onClick={onPoint}
      onMouseLeave={() => setPointed(null)}
      onBlur={() => setPointed(null)}
      onKeyDown={onKeyDown}
    >
      <span ref={list} />
      {chosen && <Card token={chosen} place={pointed} />}
    </span>
  );
}

function tokenSpan(token: TokenInfo, index: number): HTMLSpanElement {
  const span = document.createElement("span");
  const text = tokenText(token);
  span.className = `token shade-${shade(token.logprob)}${token.special ? " special" : ""}`;
  span.dataset.index = String(index);
  // A line end alone would leave nothing to point at.
  span.textContent = text.trim() === "" && text.includes("\n") ? text.replace("\n", "↵\n") : text;
  return span;
}

const pixels = (length: number | undefined) => (length === undefined ? "auto" : `${length}px`);

function Card({ token, place }: { token: TokenInfo; place: Pointed }) {
  const listed = token.top.some((other) => isSame(other, token));
  const rows: Candidate[] = (listed ? [...token.top] : [token, ...token.top]).sort((a, b) => b.logprob - a.logprob);
  return (
    <span
      class="card"
      role="status"
      style={{
        left: pixels(place.left),
        top: pixels(place.top),
        bottom: pixels(place.bottom),
        width: pixels(cardWidth),
        maxHeight: pixels(cardHeight),
      }}
    >
      <span class="card-head">
        <code>{tokenLabel(token)}</code>
        <span>{percent(token.logprob)}</span>
      </span>
      <span class="card-detail">
        log probability {token.logprob.toFixed(3)}
        {token.bytes && token.bytes.length > 0 && ` · bytes ${token.bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}`}
      </span>
      {rows.map((row, i) => (
        <span key={i} class={isSame(row, token) ? "row chosen" : "row"}>
          <code>{tokenLabel(row)}</code>
          <span class="bar" aria-hidden="true">
            <span style={{ width: `${probability(row.logprob) * 100}%` }} />
          </span>
          <span class="share">{percent(row.logprob)}</span>
        </span>
      ))}
    </span>
  );
}

const isSame = (a: Candidate, b: Candidate) => a.token === b.token && String(a.bytes) === String(b.bytes);
