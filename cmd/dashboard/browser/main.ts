/** Where the page begins. */
import { App } from "./app.ts";
import { applyTheme, keptTheme } from "./theme.ts";
import { html, render } from "./ui.ts";

applyTheme(keptTheme());
const root = document.getElementById("app")!;
const { demo, open } = root.dataset;
root.replaceChildren();
render(html`<${App} demo=${demo} isOpen=${open !== undefined} />`, root);
