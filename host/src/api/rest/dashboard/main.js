// The page as a whole: which view is shown, whether the daemon answers, and what is told of it at the edges.
import { events, follow, get, getText, link, target } from "./api.js";
import { alert, fill, h, shown } from "./dom.js";
import { drivers } from "./drivers.js";
import { eventsView } from "./events.js";
import { duration } from "./format.js";
import { operations } from "./operations.js";
import { overview } from "./overview.js";
import { storeView } from "./store.js";
import { stores } from "./stores.js";

/** Views by the first word of the address; each makes `{element, title, update, end}`. */
const VIEWS = { "": overview, stores, drivers, operations, events: eventsView };
const TITLES = [["", "Overview"], ["stores", "Stores"], ["drivers", "Drivers"], ["operations", "Operations"], ["events", "Events"]];
/** Milliseconds between two looks at a daemon in which nothing happens, and after something happened in it. */
const CALM = 5000;
const SOON = 250;

const main = document.getElementById("main");
const state = document.getElementById("state");
const banner = document.getElementById("banner");
const footer = document.getElementById("footer");
const announcer = document.getElementById("announcer");
let view = null;
let ready = null;

function route() {
  const [word, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  view?.end?.();
  const make = word === "stores" && rest[0] ? () => storeView(rest[0]) : VIEWS[word] ?? overview;
  view = make(rest);
  document.title = `${view.title} – Mica`;
  main.replaceChildren(view.element);
  const items = TITLES.map(([key, title]) => h("li", {}, h("a", { href: `#/${key}`, "aria-current": key === word ? "page" : null }, title)));
  document.getElementById("nav").replaceChildren(...items);
  update();
}

/** Asks again for what is shown; one question at a time, and another after it if something happened meanwhile. */
let isAsking = false;
let isDue = false;
async function update() {
  if (isAsking) {
    isDue = true;
    return;
  }
  isAsking = true;
  const asked = view;
  try {
    await Promise.all([asked.update?.(), health()]);
  } catch (problem) {
    // One that is away is told at the top.
    if (link.isUp && asked === view && problem.name !== "AbortError") failed(problem);
  }
  isAsking = false;
  if (isDue || asked !== view) {
    isDue = false;
    update();
  }
}

function failed(problem) {
  const place = h("div", {});
  fill(place, [problem.message, problem.remedy], () => alert("This could not be shown.", problem.message, problem.remedy));
  main.querySelector(":scope > .failed")?.remove();
  main.prepend(h("div", { class: "failed" }, place));
}

async function health() {
  const [status, why] = await Promise.all([
    get(target(["status"])),
    getText("/readyz").then(() => null, (problem) => (problem.code === "not-ready" ? problem.message : Promise.reject(problem))),
  ]);
  ready = { why };
  main.querySelector(":scope > .failed")?.remove();
  tellState();
  fill(footer, [status.version, status.pid, status.root], () => h("p", {}, `Mica ${status.version} · process ${status.pid} · `,
    h("bdi", {}, shown(status.root)), ` · Linux ${status.kernel.release}`));
  footer.title = `up for ${duration(status.uptime_seconds * 1000)}`;
}

function tellState() {
  const [kind, text] = link.isUp === undefined ? ["", "Connecting"]
    : !link.isUp ? ["bad", "Disconnected"]
      : ready?.why ? ["warn", "Not ready"] : ["good", "Ready"];
  fill(state, [kind, text], () => h("span", { class: `pill ${kind}` }, text));
  const problem = link.isUp === false ? link.why : null;
  const told = problem ? ["The daemon does not answer.", problem.message, problem.remedy]
    : ready?.why ? ["The daemon is not ready.", ready.why, "mica status"] : null;
  banner.hidden = told === null;
  fill(banner, told, () => (told ? alert(...told) : document.createDocumentFragment()));
}

function later(milliseconds, run) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      run();
    }, milliseconds);
  };
}

/** Tells people who do not see the page what happened, at most every other second. */
let unheard = [];
const announce = later(2000, () => {
  const last = unheard.at(-1);
  const text = `${last.kind} ${last.layer ?? last.driver ?? last.store ?? ""}`;
  announcer.textContent = unheard.length === 1 ? shown(text) : `${unheard.length} events, the last: ${shown(text)}`;
  unheard = [];
});

const soon = later(SOON, update);
events.addEventListener("news", ({ detail }) => {
  unheard.push(...detail);
  announce();
  view?.news?.(detail);
  soon();
});
events.addEventListener("again", () => {
  view?.again?.();
  soon();
});
link.addEventListener("change", tellState);
addEventListener("hashchange", () => {
  route();
  // Who reads by ear begins at the top of the new view.
  main.querySelector("h1")?.focus();
});
document.addEventListener("visibilitychange", () => !document.hidden && update());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
setInterval(() => !document.hidden && update(), CALM);
tellState();
route();
follow();
