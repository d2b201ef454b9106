// Elements from plain values. Text stays text: nothing on this page parses HTML.

export const one = (selector) => document.querySelector(selector);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const numbers = new Intl.NumberFormat("en");
export const number = (value) => numbers.format(value);

// The time of day, and the date if it is not today.
export function clock(text) {
  const moment = new Date(text);
  const day = moment.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
  const shown = moment.toLocaleString("en-GB", { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return element("time", { datetime: text, title: text }, shown);
}
