// Markdown of a model's answer to a fragment that is safe to insert. The text is hostile: its HTML is shown, not obeyed; nothing loads.
import DOMPurify from "dompurify";
import { Marked, type Tokens } from "marked";
import { highlight } from "./highlight";

const escapes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (char) => escapes[char] ?? char);

/** The few tags that answers use for layout and that carry nothing else. */
const harmlessTag = /^<\/?(?:br|sub|sup|kbd|b|i|u|s|em|strong|mark|small)\s*\/?>$/i;
const webAddress = /^(?:https?:|mailto:)/i;

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text, block }: Tokens.HTML | Tokens.Tag) =>
      harmlessTag.test(text.trim()) ? text : block ? `<p class="raw">${escapeHtml(text.trimEnd())}</p>` : escapeHtml(text),
    // An image would tell its server who reads what; its address is offered as a link.
    image({ href, text }: Tokens.Image) {
      const label = escapeHtml(`Image: ${text || href}`);
      return webAddress.test(href) ? `<a href="${escapeHtml(href)}">${label}</a>` : label;
    },
    link({ href, tokens }: Tokens.Link) {
      const label = this.parser.parseInline(tokens);
      return webAddress.test(href) ? `<a href="${escapeHtml(href)}">${label}</a>` : label;
    },
    checkbox: ({ checked }: Tokens.Checkbox) => (checked ? "☑ " : "☐ "),
    code({ text, lang }: Tokens.Code) {
      const language = (lang ?? "").split(/\s/, 1)[0]?.toLowerCase() ?? "";
      return `<pre title="${escapeHtml(language)}"><code>${highlight(text, language) ?? escapeHtml(text)}</code></pre>`;
    },
  },
});

const tags = [
  "a",
  "b",
  "blockquote",
  "br",
  "code",
  "del",
  "em",
  "h1",
  "h2",
  "h3",
  "h4",
  "h5",
  "h6",
  "hr",
  "i",
  "kbd",
  "li",
  "mark",
  "ol",
  "p",
  "pre",
].concat(["s", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul"]);

const purify = DOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
  node.setAttribute("title", node.getAttribute("href") ?? "");
});

function sanitised(html: string): DocumentFragment {
  return purify.sanitize(html, {
    ALLOWED_TAGS: tags,
    ALLOWED_ATTR: ["href", "class", "title", "start", "align"],
    ALLOWED_URI_REGEXP: webAddress,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
}

/** Code with the name of its language and a button that copies it. */
export function codeBlock(pre: HTMLPreElement, language: string): HTMLElement {
  const block = document.createElement("div");
  block.className = "code";
  const bar = document.createElement("div");
  bar.className = "code-bar";
  const name = document.createElement("span");
  name.textContent = language || "text";
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "copy-code";
  copy.textContent = "Copy";
  bar.append(name, copy);
  pre.tabIndex = 0;
  block.append(bar, pre);
  return block;
}

/** Draws one block of Markdown; text that the parser cannot take is shown as it is. */
export function renderMarkdown(text: string): DocumentFragment {
  let fragment: DocumentFragment;
  try {
    fragment = sanitised(marked.parse(text, { async: false }));
  } catch {
    // Nesting beyond what the parser's recursion bears.
    fragment = document.createDocumentFragment();
    const plain = document.createElement("p");
    plain.className = "raw";
    plain.textContent = text;
    fragment.append(plain);
  }
  for (const pre of fragment.querySelectorAll("pre")) {
    const language = pre.title;
    pre.removeAttribute("title");
    const place = document.createComment("");
    pre.replaceWith(place);
    place.replaceWith(codeBlock(pre, language));
  }
  for (const table of fragment.querySelectorAll("table")) {
    const frame = document.createElement("div");
    frame.className = "table";
    frame.tabIndex = 0;
    table.replaceWith(frame);
    frame.append(table);
  }
  return fragment;
}
