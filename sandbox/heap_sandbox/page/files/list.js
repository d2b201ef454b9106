// The rows of the tab, newest first, a page at a time: the document never contains more than a page.

import { clock, element, number, one } from "./element.js";
import { address, narrow, place } from "./place.js";
import { read } from "./sandbox.js";

const LIMIT = 100;
const COLUMNS = {
  events: { time: "Arrived", at: "Event time", event: "Event", who: "Identity", preview: "Properties" },
  users: { time: "Changed", who: "Identity", writes: "Writes", preview: "Properties" },
  accounts: { time: "Changed", who: "Account", writes: "Writes", preview: "Properties" },
  identities: { time: "Arrived", who: "Identity", user: "User ID", outcome: "Result" },
  deletions: { time: "Arrived", who: "Deletion request", asked: "Users in it", gone: "Users deleted", lost: "Events deleted" },
};
const SHOWN = {
  time: (row) => clock(row.received),
  at: (row) => clock(row.at),
  preview: (row) => element("div", {}, row.preview), // the styles limit its lines
};
for (const kind of ["writes", "asked", "gone", "lost"]) SHOWN[kind] = (row) => number(row[kind]);
const EXAMPLES = {
  events: ["/api/track", { identity: "ada@example.com", event: "Order Placed", properties: { total: 12.5 } }],
  users: ["/api/add_user_properties", { identity: "ada@example.com", properties: { plan: "pro" } }],
  accounts: ["/api/add_account_properties", { account_id: "acme", properties: { seats: 5 } }],
  identities: ["/api/v1/identify", { identity: "ada@example.com", user_id: "8325475906512841" }],
};
const DELETION = { users: [{ identity: "ada@example.com" }] };
const TOKEN = `sed 's/.*":"//; s/".*//'`;

const panel = one("#panel");
const body = one("#panel tbody");
const scroller = one("#panel .scroll");
const more = one("#more");

let pulse = null; // the newest update from the sandbox
let shown = { key: "", epoch: "", newest: 0, changes: 0, next: null }; // what the table shows
let asking = null; // the request in flight
let keyboard = false; // was used last, rather than the mouse; :focus-visible also matches what a script focuses after a click

// Whether someone is reading, so that rows must not move: scrolled down, using the keyboard, or with an open row over them.
const held = () =>
  scroller.scrollTop > 0 || (keyboard && body.contains(document.activeElement)) || (place().show && narrow.matches);

export function beat(newest) {
  pulse = newest;
  refresh();
}

// Bring the table up to date, whether the place, the rows or the sandbox has changed.
export async function refresh(force = false) {
  mark();
  if (!pulse || document.hidden) return;
  const { tab, q, before } = place();
  const key = JSON.stringify([tab, q, before]);
  one("#empty").hidden = key !== shown.key || body.rows.length > 0; // its command belongs to one list
  const renewed = key !== shown.key || pulse.epoch !== shown.epoch;
  if (asking) {
    if (asking.key === key) return; // it refreshes again when it is done
    asking.abort();
  }
  const changes = pulse.changes[tab];
  if (!renewed && (changes === shown.changes || before)) return;
  if (!renewed && !force && held()) {
    more.hidden = false;
    return;
  }
  const whole = renewed || (q && tab !== "events"); // a user or account may no longer match, which only a new search shows
  const since = whole ? "" : shown.newest;
  const question = Object.assign(new AbortController(), { key });
  asking = question;
  try {
    const asked = new URLSearchParams({ q, limit: LIMIT, ...(before && { before }), ...(since && { since }) });
    const answer = await read(`newest/${tab}?${asked}`, { signal: question.signal });
    if (renewed || answer.epoch === shown.epoch) {
      if (whole) begin(tab);
      fill(tab, answer.rows, !whole);
      if (whole || answer.next !== null) shown.next = answer.next; // if set, the newer rows alone fill the page
      const known = answer.epoch === pulse.epoch; // otherwise the next update says what has changed
      Object.assign(shown, { key, epoch: answer.epoch, newest: answer.newest, changes: known ? changes : -1 });
    } else {
      shown.key = ""; // the data was cleared in between
    }
  } catch (error) {
    if (question.signal.aborted) return;
    if (error.status >= 400 && error.status < 500) refused(key, error);
    else setTimeout(refresh, 1000);
    return;
  } finally {
    if (asking === question) asking = null;
  }
  describe();
  if (shown.epoch === pulse.epoch) refresh();
}

// The same request would be refused again, so it is not repeated.
function refused(key, error) {
  body.replaceChildren();
  shown = { key, epoch: pulse.epoch, newest: 0, changes: pulse.changes[place().tab], next: null };
  describe();
  one("#empty").replaceChildren(error.message);
}

function begin(tab) {
  body.replaceChildren();
  scroller.scrollTo(0, 0);
  panel.setAttribute("aria-labelledby", `tab-${tab}`);
  const names = Object.entries(COLUMNS[tab]).map(([kind, name]) => element("th", { scope: "col", class: kind }, name));
  one("#panel thead tr").replaceChildren(...names);
}

// Put rows on top. A row that is already shown has changed and moves up; rows beyond the page are removed.
function fill(tab, rows, fresh) {
  for (const row of rows.toReversed()) {
    document.getElementById(`row-${row.id}`)?.remove();
    body.prepend(line(tab, row, fresh));
  }
  while (body.rows.length > LIMIT) {
    body.lastChild.remove();
    shown.next = Number(body.lastChild.dataset.cursor);
  }
  more.hidden = true;
}

function line(tab, row, fresh) {
  const link = element("a", { href: "#", tabindex: -1, "data-show": `${tab}/${row.id}` });
  const cells = Object.keys(COLUMNS[tab]).map((kind) => element("td", { class: kind }));
  const made = element("tr", { id: `row-${row.id}`, "data-cursor": row.cursor }, ...cells);
  if (fresh) made.className = "new";
  for (const cell of cells) {
    const kind = cell.className;
    const content = SHOWN[kind]?.(row) ?? row[kind];
    cell.append(kind === (tab === "events" ? "event" : "who") ? link : content);
  }
  link.append(tab === "events" ? row.event : row.who);
  return made;
}

function describe() {
  const { tab, q, before } = place();
  const count = body.rows.length;
  const more = shown.next !== null;
  one("#empty").hidden = count > 0;
  one("#panel table").hidden = count === 0;
  if (!count) one("#empty").replaceChildren(...empty(tab, q, before));
  const all = number(pulse.counts[tab]);
  one("#range").textContent = !count ? "" : q ? `${more ? "newest " : ""}${number(count)} ${count === 1 ? "match" : "matches"}` : `${number(count)} of ${all}`;
  one("#first").hidden = !before;
  one("#older").hidden = !more;
  mark();
}

function empty(tab, q, before) {
  if (q || before) return [q ? `No ${tab} match “${q}”.` : `There are no older ${tab}.`];
  const words = example(tab);
  const copy = element("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(words);
    copy.textContent = "Copied";
  });
  return [
    element("p", {}, `No ${tab} yet. Set base_url to ${location.origin} in a connection, or run this in a shell:`),
    element("div", { class: "command" }, element("pre", { tabindex: 0 }, words), copy),
  ];
}

// A command that works unchanged.
function example(tab) {
  const { origin } = location;
  const json = "-H 'Content-Type: application/json'";
  if (tab === "deletions") {
    const login = `TOKEN=$(curl -s -X POST -u 11:any-key ${origin}/api/public/v0/auth_token | ${TOKEN})`;
    const submit = `curl ${origin}/api/public/v0/user_deletion -H "Authorization: Bearer $TOKEN" ${json}`;
    return `${login}\n${submit} \\\n  -d '${JSON.stringify(DELETION)}'`;
  }
  const [path, content] = EXAMPLES[tab];
  return `curl ${origin}${path} ${json} \\\n  -d '${JSON.stringify({ app_id: "11", ...content })}'`;
}

// What depends only on the place: links, the open row, and the row that the Tab key reaches.
function mark() {
  const { show } = place();
  for (const link of body.querySelectorAll("a")) {
    link.href = address({ show: link.dataset.show });
    const open = link.dataset.show === show;
    if (open) link.closest("tr").setAttribute("aria-current", "true");
    else link.closest("tr").removeAttribute("aria-current");
    link.tabIndex = -1;
  }
  one("#first").href = address({ before: "", show: "" });
  one("#older").href = address({ before: String(shown.next), show: "" });
  const reached = body.contains(document.activeElement) ? document.activeElement : body.querySelector("[aria-current] a, a");
  if (reached) reached.tabIndex = 0;
}

body.addEventListener("click", (event) => {
  if (!getSelection().isCollapsed) return; // text is being selected
  const link = event.target.closest("tr")?.querySelector("a");
  if (!link) return; // pressed on one row and released on another
  link.focus({ preventScroll: true });
  if (!link.contains(event.target)) link.click();
});

body.addEventListener("keydown", (event) => {
  const links = [...body.querySelectorAll("a")];
  const here = links.indexOf(document.activeElement);
  const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: links.length - 1 }[event.key];
  if (to === undefined || !links[to]) return;
  event.preventDefault();
  links[to].focus();
  if (place().show) links[to].click();
  else mark();
});

document.addEventListener("keydown", () => (keyboard = true), true);
document.addEventListener("pointerdown", () => (keyboard = false), true);

more.addEventListener("click", () => {
  scroller.scrollTo(0, 0);
  refresh(true);
});

scroller.addEventListener("scroll", () => refresh());
for (const name of ["focusout", "visibilitychange"]) document.addEventListener(name, () => refresh());
