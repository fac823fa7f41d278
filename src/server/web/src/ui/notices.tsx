// What the page has to say besides answers: where the server stands, and short notices that can be undone.
import type { Server, State } from "../chat/store";
import { IconButton } from "./icons";

const leads = {
  loading: "The server is not ready yet.",
  gone: "The server is gone; trying to reach it again.",
  locked: "The server wants an API key.",
};

export function Banner({ server, onKey }: { server: Server; onKey: () => void }) {
  if (server.state === "ready" || server.state === "connecting") return null;
  const lead = leads[server.state];
  return (
    <div class={`banner ${server.state}`} role="status">
      {server.state !== "locked" && <span class="pulse" aria-hidden="true" />}
      <span>
        {lead} <span class="detail">{server.message}</span>
      </span>
      {server.state === "locked" && (
        <button type="button" onClick={onKey}>
          Enter the key
        </button>
      )}
    </div>
  );
}

export function Notice({ notice, onUndo, onClose }: { notice: State["notice"]; onUndo: () => void; onClose: () => void }) {
  return (
    <div class="notice-place" role="status">
      {notice && (
        <div class="notice">
          <span>{notice.text}</span>
          {notice.undo && (
            <button type="button" onClick={onUndo}>
              Undo
            </button>
          )}
          <IconButton icon="close" label="Dismiss" onClick={onClose} />
        </div>
      )}
    </div>
  );
}
