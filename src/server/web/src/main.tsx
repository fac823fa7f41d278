// Starts the page.
import { render } from "preact";
import { ChatStorage } from "./chat/storage";
import { Store } from "./chat/store";
import { App } from "./ui/app";

const store = new Store(new ChatStorage());
const root = document.getElementById("app");
if (root) render(<App store={store} />, root);
void store.connect();
