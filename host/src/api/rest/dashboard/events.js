// What happens, the newest first.
import { events } from "./api.js";
import { chip, h, name, shown } from "./dom.js";
import { count, moment } from "./format.js";

/** Events that are on the page at once. */
const SHOWN = 200;
const BAD = new Set(["layer.quarantined", "store.failed", "driver.failed", "driver.quarantined", "driver.went-back", "driver.denied"]);
const WARN = new Set(["layer.left-out"]);

/** An event as a line of a list. */
export function line(event) {
  const about = [["store", event.store], ["layer", event.layer], ["driver", event.driver]].filter(([, value]) => value);
  return h("li", { class: "event" }, moment(event.time),
    chip(event.kind, BAD.has(event.kind) ? "bad" : WARN.has(event.kind) ? "warn" : ""),
    h("span", { class: "about" }, about.map(([title, value]) => h("span", {}, h("span", { class: "muted" }, `${title} `), name(value))),
      event.detail ? h("bdi", { class: "detail", title: shown(event.detail) }, shown(event.detail)) : null));
}

export function eventsView() {
  const list = h("ol", { class: "events", "aria-label": "Events, the newest first", tabindex: "0" });
  const told = h("p", { class: "muted" });
  const group = h("select", { id: "group", on: { change: draw } },
    [["", "All"], ["layer", "Layers"], ["store", "Stores"], ["driver", "Drivers"]].map(([value, title]) => h("option", { value }, title)));
  const text = h("input", { id: "about", type: "search", autocomplete: "off", placeholder: "id, name or text", on: { input: draw } });
  const pause = h("button", { type: "button", "aria-pressed": "false", on: { click: () => {
    const isOn = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(isOn));
    draw();
  } } }, "Pause");
  let held = null;

  function draw() {
    const isPaused = pause.getAttribute("aria-pressed") === "true";
    held = isPaused ? held ?? [...events.list] : null;
    const wanted = text.value.trim().toLowerCase();
    const all = (held ?? events.list).filter((event) => (!group.value || event.kind.startsWith(`${group.value}.`))
      && (!wanted || JSON.stringify(event).toLowerCase().includes(wanted)));
    list.replaceChildren(...all.slice(0, SHOWN).map(line));
    told.textContent = all.length === 0 ? "Nothing of the kind has happened yet."
      : `${count(Math.min(all.length, SHOWN))} of ${count(events.total)} since the daemon's start or the oldest that it keeps.`;
  }

  draw();
  return {
    title: "Events",
    element: h("div", {}, h("h1", { tabindex: "-1" }, "Events"),
      h("div", { class: "tools", role: "search", "aria-label": "Filter events" },
        h("label", { for: "group" }, "Kind"), group, h("label", { for: "about" }, "About"), text, pause),
      told, h("div", { class: "panel" }, list)),
    news: draw,
    again: draw,
  };
}
