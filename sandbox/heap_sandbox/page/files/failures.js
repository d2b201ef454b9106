// Requests that were rejected or hit by a fault, newest first, each with its reason.

import { clock, element, one } from "./element.js";
import { address } from "./place.js";
import { read } from "./sandbox.js";

const LIMIT = 50;
const list = one("#failures");

let shown = "";

export async function beat(pulse) {
  const wanted = `${pulse.epoch} ${pulse.changes.failed}`;
  if (wanted === shown) return;
  shown = wanted;
  try {
    const { rows } = await read(`newest/failed?limit=${LIMIT}`);
    if (wanted !== shown) return;
    list.replaceChildren(...(rows.length ? rows.map(line) : [element("li", { class: "hint" }, "None yet.")]));
    mark();
  } catch {
    shown = "";
  }
}

// Links keep the open tab.
export function mark() {
  for (const link of list.querySelectorAll("a")) link.href = address({ show: link.dataset.show });
}

function line(row) {
  const rows = row.elements > 1 ? `, ${row.elements} rows` : "";
  const link = element(
    "a",
    { href: "#", "data-show": `requests/${row.id}` },
    clock(row.received),
    element("b", {}, String(row.status ?? "no response")),
    ` ${row.path}${rows}`,
    element("span", {}, row.reason ?? `Simulated fault: ${row.fault}.`),
  );
  return element("li", {}, link);
}
