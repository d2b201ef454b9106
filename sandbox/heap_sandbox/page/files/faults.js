// Switches for simulated faults and the documented rate limits.

import { element, number, one } from "./element.js";
import { send } from "./sandbox.js";

const PRESETS = [
  ["Unavailable", "responds with 503", { kind: "status", status: 503 }],
  ["Too many requests", "responds with 429, Retry-After: 5", { kind: "status", status: 429, headers: { "Retry-After": "5" } }],
  ["Bad request", "responds with 400", { kind: "status", status: 400 }],
  ["Connection reset", "nothing is stored", { kind: "reset_before" }],
  ["Response lost", "stored, then the connection is reset", { kind: "reset_after" }],
  ["No response", "the connection hangs", { kind: "hang" }],
  ["Slow", "each response takes one second longer", { kind: "latency", seconds: 1 }],
];
const UNSAID = new Set(["id", "kind", "matched", "fired", "spent"]);
const TURN = ["skip", "every", "times", "probability"];
const DEFAULTS = { skip: 0, every: 1, probability: 1, body: "", content_type: "text/plain", store: false };

const list = one("#faults");
const others = new Map(); // faults that the page does not offer, by id

let faults = [];

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const simple = (fault) => !fault.spent && !fault.path && !fault.match;
const is = (fault, preset) => simple(fault) && Object.entries(preset).every(([name, value]) => same(fault[name], value));

// A switch keeps its position until its request is answered; an earlier update must not reset it.
function toggle(name, change) {
  const box = element("input", { type: "checkbox", role: "switch" });
  const hint = element("span", { class: "hint" });
  const item = element("li", {}, element("label", {}, element("span", {}, name), box, hint));
  let known = false;
  let asked = 0;
  const show = (on) => {
    known = on;
    if (!asked) box.checked = on;
  };
  box.addEventListener("change", async () => {
    asked += 1;
    try {
      await change(box.checked);
    } catch (error) {
      hint.textContent = error.message;
    } finally {
      asked -= 1;
      show(known);
    }
  });
  return { show, hint, item };
}

const rates = toggle("Heap's rate limits", async (on) => {
  rates.show((await send("POST", "limits", { enabled: on })).enabled);
});
rates.hint.textContent = "15,000 events per minute, 1,000 per identity; then 429";
const presets = PRESETS.map(([name, hint, fault]) => ({
  ...toggle(name, async (on) => {
    if (on) update((await send("POST", "faults", { ...fault, ...JSON.parse(one("#turn").value) })).rows);
    else for (const active of faults.filter((found) => is(found, fault))) await end(active);
  }),
  said: hint,
  fault,
}));
one("#rates").append(rates.item);
list.append(...presets.map(({ item }) => item));

export function beat(pulse) {
  rates.show(pulse.rate_limits);
  update(pulse.faults);
}

function update(rows) {
  faults = rows;
  for (const preset of presets) {
    const active = faults.filter((fault) => is(fault, preset.fault));
    preset.show(active.length > 0);
    preset.hint.textContent = active.length ? active.map(turns).join("; ") : preset.said;
  }
  const strange = faults.filter((fault) => !fault.spent && !PRESETS.some(([, , preset]) => is(fault, preset)));
  for (const [id, made] of others) {
    if (strange.some((fault) => fault.id === id)) continue;
    made.item.remove();
    others.delete(id);
  }
  for (const fault of strange) {
    if (!others.has(fault.id)) {
      others.set(fault.id, toggle(describe(fault), () => end(fault)));
      list.append(others.get(fault.id).item);
    }
    others.get(fault.id).show(true);
    others.get(fault.id).hint.textContent = counts(fault);
  }
}

const end = async ({ id }) => update((await send("DELETE", `faults/${id}`)).rows);

const counts = (fault) => `applied to ${number(fault.fired)} of ${number(fault.matched)} requests`;

// How often it applies, if not always, and how often it has.
function turns(fault) {
  const often = unusual(fault, TURN).join(", ");
  return `${often}${often && ": "}${counts(fault)}`;
}

const describe = (fault) => [fault.kind, ...unusual(fault, Object.keys(fault).filter((name) => !UNSAID.has(name)))].join(", ");

function unusual(fault, names) {
  const given = names.filter((name) => fault[name] !== null && fault[name] !== DEFAULTS[name] && !same(fault[name], {}));
  return given.map((name) => `${name} ${typeof fault[name] === "string" ? fault[name] : JSON.stringify(fault[name])}`);
}
