// Everything beyond links and forms. All screens work without it, except for live updates.

const TYPING = 400; // ms without typing before a request is sent

// Replaces a part of the page with HTML that the console rendered.
function show(place, html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  place.replaceChildren(...parsed.body.childNodes);
}

// Forms with a live preview while the user types.
for (const form of document.querySelectorAll("form[data-live]")) {
  const place = form.querySelector("#live");
  let typing, pending;
  const ask = async () => {
    pending?.abort();
    pending = new AbortController();
    try {
      const answer = await fetch(form.dataset.live, {
        method: "POST",
        body: new URLSearchParams(new FormData(form)),
        signal: pending.signal,
      });
      show(place, await answer.text());
    } catch (error) {
      if (error.name !== "AbortError") place.textContent = "The console does not respond.";
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(ask, TYPING);
  });
  if (form.dataset.liveAtOnce !== undefined || [...form.elements].some((each) => each.name === "version" && each.value)) ask();
}

// Actions that cannot be undone need a confirmation.
document.addEventListener("submit", (event) => {
  const sentence = event.submitter?.dataset.confirm;
  if (sentence && !confirm(sentence)) event.preventDefault();
});

// A form is sent once, however often its button is pressed; after the back button it may be sent again.
const sent = new Set();
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.method !== "post") return;
  const downloads = event.submitter?.getAttribute("formaction") ?? event.target.getAttribute("action");
  if (downloads === "/tables/download") return; // the page stays
  if (sent.has(event.target)) event.preventDefault();
  sent.add(event.target);
});
addEventListener("pageshow", () => sent.clear());

// After a page that answers a form: reloading it or returning to it requests the page, and does not resend the form.
if (document.documentElement.dataset.posted !== undefined && !document.querySelector("[data-post-only]")) {
  history.replaceState(null, "", location.href);
}

// A page that reports a busy warehouse reloads itself.
for (const place of document.querySelectorAll("[data-again]")) {
  setTimeout(() => location.reload(), 1000 * Number(place.dataset.again));
}

// A running job: the console streams its progress, and the page reloads when the job finishes.
for (const place of document.querySelectorAll("[data-events]")) {
  const source = new EventSource(place.dataset.events);
  source.onmessage = (message) => show(place, JSON.parse(message.data));
  source.addEventListener("end", () => {
    source.close();
    location.reload();
  });
}

// Slow parts of a page are loaded after it.
for (const place of document.querySelectorAll("[data-load]")) {
  fetch(place.dataset.load)
    .then((answer) => answer.text())
    .then((html) => show(place, html))
    .catch(() => (place.textContent = "The console does not respond."));
}
