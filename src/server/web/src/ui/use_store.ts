// Draws a view again whenever the store changes.
import { useEffect, useState } from "preact/hooks";
import type { State, Store } from "../chat/store";

export function useStore(store: Store): State {
  const [state, setState] = useState(store.get);
  useEffect(() => {
    setState(store.get());
    return store.subscribe(() => setState(store.get()));
  }, [store]);
  return state;
}
