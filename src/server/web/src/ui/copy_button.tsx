// Buttons that copy a message or a block of code.
import { useState } from "preact/hooks";
import { copyText } from "../render/copy";
import { IconButton } from "./icons";

const shownMs = 1500;

export function CopyButton({ text }: { text: string }) {
  const [state, setState] = useState<"idle" | "done" | "failed">("idle");
  const copy = async () => {
    setState((await copyText(text)) ? "done" : "failed");
    setTimeout(() => setState("idle"), shownMs);
  };
  return (
    <IconButton
      icon={state === "done" ? "check" : state === "failed" ? "close" : "copy"}
      label={{ idle: "Copy", done: "Copied", failed: "The browser refused to copy" }[state]}
      onClick={copy}
    />
  );
}

/** One listener for the buttons of all code blocks, which are drawn outside the components. */
export async function copyCode(event: MouseEvent): Promise<void> {
  const button = event.target instanceof Element ? event.target.closest(".copy-code") : null;
  if (!button) return;
  const code = button.closest(".code")?.querySelector("pre")?.textContent ?? "";
  button.textContent = (await copyText(code)) ? "Copied" : "Refused";
  setTimeout(() => (button.textContent = "Copy"), shownMs);
}
