// What the page shows, stored in its address: #users?q=ada&before=900&show=users/7

export const TABS = ["events", "users", "accounts", "identities", "deletions"];
export const narrow = matchMedia("(max-width: 960px)"); // narrower: an open row covers the others

export function place() {
  const [name, query] = location.hash.slice(1).split("?");
  const asked = new URLSearchParams(query);
  const show = /^(events|users|accounts|identities|deletions|requests)\/\d+$/.exec(asked.get("show"));
  return {
    tab: TABS.includes(name) ? name : TABS[0],
    q: asked.get("q") ?? "",
    before: /^\d+$/.exec(asked.get("before"))?.[0] ?? "",
    show: show?.[0] ?? "",
  };
}

// The current address with some changes.
export function address(changes) {
  const { tab, ...asked } = { ...place(), ...changes };
  const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value)).toString();
  return `#${tab}${query && "?"}${query.replaceAll("%2F", "/")}`;
}

// Go there without adding a step to the Back button.
export function move(changes) {
  history.replaceState(null, "", address(changes));
  dispatchEvent(new HashChangeEvent("hashchange"));
}
