// What pages do beyond links and forms. Every screen works without it, except what it shows while something changes.

const TYPING = 400; // ms without a key before a question goes out

// A part of the page, as the console rendered it.
function show(place, html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  place.replaceChildren(...parsed.body.childNodes);
}

// Forms that say, while one types, what would come of them.
for (const form of document.querySelectorAll("form[data-live]")) {
  const place = form.querySelector("#live");
  let typing, question;
  const ask = async () => {
    question?.abort();
    question = new AbortController();
    try {
      const answer = await fetch(form.dataset.live, {
        method: "POST",
        body: new URLSearchParams(new FormData(form)),
        signal: question.signal,
      });
      show(place, await answer.text());
    } catch (error) {
      if (error.name !== "AbortError") place.textContent = "The console does not answer.";
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(ask, TYPING);
  });
  if (form.dataset.liveAtOnce !== undefined || [...form.elements].some((each) => each.name === "version" && each.value)) ask();
}

// What cannot be undone is asked for twice.
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

// What a form was answered with: reloading it, or coming back to it, asks for the page and does not send the form again.
if (document.documentElement.dataset.posted !== undefined && !document.querySelector("[data-post-only]")) {
  history.replaceState(null, "", location.href);
}

// The page of a warehouse that is busy tries again.
for (const place of document.querySelectorAll("[data-again]")) {
  setTimeout(() => location.reload(), 1000 * Number(place.dataset.again));
}

// What is under way: the console sends it as it changes, and the page is loaded anew when it has ended.
for (const place of document.querySelectorAll("[data-events]")) {
  const source = new EventSource(place.dataset.events);
  source.onmessage = (message) => show(place, JSON.parse(message.data));
  source.addEventListener("end", () => {
    source.close();
    location.reload();
  });
}

// Parts that take a moment: they come after the page.
for (const place of document.querySelectorAll("[data-load]")) {
  fetch(place.dataset.load)
    .then((answer) => answer.text())
    .then((html) => show(place, html))
    .catch(() => (place.textContent = "The console does not answer."));
}
