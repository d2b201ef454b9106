// How many rows arrived in each second of the last five minutes.

import { number, one } from "./element.js";

const [WIDTH, HEIGHT] = [300, 60]; // a unit is a second
const SERIES = ["events", "users", "accounts"];
const SPEED = 5; // seconds that the speed is averaged over

let rates = [];

export function beat(pulse) {
  rates = pulse.rates;
  draw();
}

export function draw() {
  const now = Math.floor(Date.now() / 1000);
  const recent = rates.filter(([second]) => second > now - WIDTH && second <= now);
  const total = ([, ...counts]) => SERIES.reduce((sum, _, index) => sum + counts[index], 0);
  const peak = Math.max(0, ...recent.map(total));
  const paths = { events: "", users: "", accounts: "", failed: "" };
  for (const [second, ...counts] of recent) {
    const x = WIDTH - 1 - (now - second);
    let top = HEIGHT;
    SERIES.forEach((name, index) => {
      const height = peak && (counts[index] / peak) * (HEIGHT - 8);
      if (!height) return;
      top -= height;
      paths[name] += `M${x} ${top.toFixed(2)}h.85v${height.toFixed(2)}h-.85z`;
    });
    if (counts[SERIES.length]) paths.failed += `M${x} 0h.85v4h-.85z`;
  }
  for (const [name, path] of Object.entries(paths)) one(`#plot .${name}`).setAttribute("d", path);
  const last = recent.filter(([second]) => second > now - 1 - SPEED && second < now);
  const speed = number(Math.round(last.reduce((sum, rate) => sum + total(rate), 0) / SPEED));
  one("#speed").textContent = speed;
  one("#peak").textContent = `peak: ${number(peak)} rows per second`;
  one("#plot").setAttribute("aria-label", `Rows per second over five minutes: now ${speed}, peak ${number(peak)}`);
}
