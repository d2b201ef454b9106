// The page: its place, the updates from the sandbox, and the sections that show them.

import * as detail from "./detail.js";
import { number, one } from "./element.js";
import * as failures from "./failures.js";
import * as faults from "./faults.js";
import * as list from "./list.js";
import { address, move, place, TABS } from "./place.js";
import * as plot from "./plot.js";
import { send } from "./sandbox.js";

const tabs = TABS.map((name) => one(`#tab-${name}`));
const search = one("#search");
const TYPING = 200; // ms without a key before a search begins

let typing = 0; // the timer of a search that is still being typed
let source; // of updates from the sandbox
let changes = {};
let epoch = ""; // of the sandbox that the page shows

function settle() {
  const { tab, q } = place();
  for (const link of tabs) {
    const name = link.id.slice("tab-".length);
    link.href = address({ tab: name, before: "", show: "" });
    link.setAttribute("aria-selected", name === tab);
    link.tabIndex = name === tab ? 0 : -1;
  }
  if (!typing && search.value.trim() !== q) search.value = q;
  search.placeholder = `Search ${tab}`;
  list.refresh();
  detail.refresh();
  failures.mark();
}

function beat(pulse) {
  if (epoch && pulse.epoch !== epoch) move({ before: "", show: "" }); // ids now belong to other rows
  epoch = pulse.epoch;
  for (const link of tabs) link.querySelector("b").textContent = number(pulse.counts[link.id.slice("tab-".length)]);
  for (const name of ["requests", "failed", "duplicates"]) one(`#${name}`).textContent = number(pulse.counts[name]);
  one("#failed").className = pulse.counts.failed ? "bad" : "";
  for (const section of [plot, list, failures, faults]) section.beat(pulse);
  const [table] = place().show.split("/");
  if (["users", "accounts"].includes(table) && pulse.changes[table] !== changes[table]) detail.refresh(true);
  changes = pulse.changes;
}

function tell(state, text) {
  one("#status").dataset.state = state;
  one("#status").textContent = text;
}

// A hidden page disconnects: a browser allows six connections per host, and a seventh page would have to wait.
function connect() {
  source?.close();
  if (document.hidden) {
    tell("waiting", "Paused");
    return;
  }
  source = new EventSource("/sandbox/live");
  source.onopen = () => {
    tell("live", "Live");
    list.refresh();
  };
  source.onmessage = (message) => beat(JSON.parse(message.data));
  source.onerror = () => {
    tell("waiting", "Reconnecting");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
  };
}

one("[role=tablist]").addEventListener("keydown", (event) => {
  const here = tabs.indexOf(document.activeElement);
  const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: -1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const link = tabs.at(to % tabs.length);
  link.focus();
  link.click();
});

function find() {
  clearTimeout(typing);
  typing = 0;
  if (search.value.trim() !== place().q) move({ q: search.value.trim(), before: "" });
}
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(find, TYPING);
});
// A row that is pressed during a search must not be replaced before its release: that would lose the click.
document.addEventListener("pointerdown", () => clearTimeout(typing), true);
for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => typing && find(), true);

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, select")) return;
  event.preventDefault();
  search.focus();
});

one("#reset").addEventListener("click", async () => {
  if (!confirm("Delete all received data, the request log and the simulated faults?")) return;
  one("#kept").textContent = "";
  try {
    await send("POST", "reset");
  } catch (error) {
    one("#kept").textContent = error.message;
  }
});

addEventListener("hashchange", settle);
document.addEventListener("visibilitychange", connect);
setInterval(plot.draw, 1000);
one("#address").textContent = location.origin;
settle();
connect();
