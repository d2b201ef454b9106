// One complete row.

import { element, one } from "./element.js";
import { address, move, narrow, place } from "./place.js";
import { ask } from "./sandbox.js";

const NAMES = { events: "Event", users: "User", accounts: "Account", identities: "Identity", deletions: "Deletion", requests: "Request" };
const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g;
const COLOURED = 50_000; // characters; a longer text stays plain, because each coloured part is an element

const dialog = one("#detail");

let shown = "";

// Show the row in the address, or none. `force` reads it again.
export async function refresh(force = false) {
  const { show } = place();
  if (show === shown && !force) return;
  shown = show;
  if (!show) {
    dialog.close();
    return;
  }
  let text;
  try {
    text = await (await ask(show)).text();
  } catch (error) {
    text = error.message;
  }
  if (show !== shown) return;
  const [table, id] = show.split("/");
  one("#detail-name").textContent = `${NAMES[table]} ${id}`;
  one("#json").replaceChildren(...coloured(text));
  one("#links").replaceChildren(...links(table, text));
  if (!dialog.open) open();
}

// Beside the rows if there is room, keeping their focus; otherwise over them.
function open() {
  if (narrow.matches) dialog.showModal();
  else dialog.open = true; // show() would take the focus
}

function links(table, text) {
  let row;
  try {
    row = JSON.parse(text);
  } catch {
    return [];
  }
  const made = [];
  const add = (name, changes) => made.push(element("a", { href: address({ before: "", ...changes }) }, name));
  if (["events", "identities"].includes(table) && row.identity) add("Its user", { tab: "users", q: row.identity, show: "" });
  if (table === "users") add("Its events", { tab: "events", q: row.identity, show: "" });
  if (row.request) add(`Request ${row.request}`, { show: `requests/${row.request}` });
  return made;
}

function coloured(text) {
  if (text.length > COLOURED) return [text];
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(TOKEN)) {
    const [whole, string, colon] = found;
    const kind = string ? (colon ? "name" : "text") : "other";
    parts.push(text.slice(end, found.index), element("span", { class: kind }, whole));
    end = found.index + whole.length;
  }
  return [...parts, text.slice(end)];
}

function close() {
  const row = one(`a[data-show="${place().show}"]`);
  move({ show: "" });
  row?.focus({ preventScroll: true });
}

one("#close").addEventListener("click", close);
one("#copy").addEventListener("click", () => navigator.clipboard.writeText(one("#json").textContent));
dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  close();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && place().show) close();
});
narrow.addEventListener("change", () => {
  if (!dialog.open) return;
  dialog.close();
  open();
});
