// All of the daemon at a glance.
import { events, get, target } from "./api.js";
import { chip, facts, fill, h, name, shown, table } from "./dom.js";
import { standing } from "./drivers.js";
import { line } from "./events.js";
import { bytes, count, digest, duration } from "./format.js";
import { isOfPage, operationTable } from "./operations.js";
import { storeTable } from "./stores.js";

const DRIVERS = [
  { title: "Driver" }, { title: "State" }, { title: "Build", minor: true }, { title: "Stores", number: true, minor: true },
  { title: "Running", number: true }, { title: "Operations", number: true, minor: true }, { title: "Faults", number: true },
];
/** Of long lists. */
const FIRST = 8;

function numbers(status) {
  const tile = ([title, value, kind]) => h("div", { class: kind ? `tile ${kind}` : "tile" }, h("dt", {}, title), h("dd", {}, value));
  return h("dl", { class: "tiles" }, [
    ["Layers", count(status.layers)], ["Mounted", count(status.mounts)], ["Driver calls running", count(status.running)],
    ["Driver calls", count(status.operations)], ["Faults", count(status.faults), status.faults > 0 ? "warn" : ""],
    ["Memory", bytes(status.memory?.resident_bytes)],
  ].map(tile));
}

function attention(problems) {
  if (problems.length === 0) return h("p", { class: "calm" }, chip("all well", "good"), " Nothing needs attention.");
  return h("section", { class: "panel attention", "aria-labelledby": "attention" },
    h("h2", { id: "attention" }, `Needs attention (${count(problems.length)})`),
    h("ul", {}, problems.map((problem) => h("li", {},
      problem.store ? [h("a", { href: `#/stores/${encodeURIComponent(problem.store)}`, "data-key": `problem ${problem.store}` }, name(problem.store)), ": "] : null,
      h("bdi", {}, shown(problem.detail))))));
}

function driverTable(drivers) {
  return table("Drivers", DRIVERS, drivers.map((driver) => [
    h("a", { href: "#/drivers", "data-key": `driver ${driver.name}` }, name(driver.name)), standing(driver), digest(driver.digest),
    count(driver.stores.length), count(driver.running), count(driver.operations), count(driver.faults),
  ]));
}

export function overview() {
  const [tiles, attended, storesPlace, driversPlace, running, about] = Array.from({ length: 6 }, () => h("div", {}));
  const list = h("ol", { class: "events" });
  const latest = () => list.replaceChildren(...events.list.slice(0, FIRST).map(line));
  latest();
  return {
    title: "Overview",
    element: h("div", {}, h("h1", { tabindex: "-1" }, "Overview"), tiles, attended, storesPlace, h("div", { class: "halves" }, driversPlace, running),
      h("section", { class: "panel", "aria-labelledby": "latest" }, h("h2", { id: "latest" }, "Latest events ", h("a", { href: "#/events" }, "all")), list), about),
    async update() {
      const [status, stores, drivers, calls] = await Promise.all(
        [["status"], ["stores"], ["drivers"], ["operations"]].map((segments) => get(target(segments))));
      fill(tiles, [status.layers, status.mounts, status.running, status.operations, status.faults, bytes(status.memory?.resident_bytes)],
        () => numbers(status));
      fill(attended, status.problems, attention);
      fill(storesPlace, stores.stores, storeTable);
      fill(driversPlace, drivers.drivers, driverTable);
      fill(running, calls.operations.filter((call) => !isOfPage(call)).slice(0, FIRST), (some) => operationTable(some, { isShort: true }));
      fill(about, [status.pid, Math.floor(status.uptime_seconds / 60)], () => h("details", { class: "panel", "data-key": "about" }, h("summary", { "data-key": "about this" }, "About this daemon"), facts([
        ["Version", status.version], ["Process", String(status.pid)], ["Up for", duration(status.uptime_seconds * 1000)],
        ["Root", name(status.root)], ["Run directory", name(status.run_dir)], ["Durability", status.durability],
        ["Kernel", status.kernel.release], ["Sandbox", `wasmtime ${status.runtime.wasmtime}, ${status.runtime.allocator}`],
        ["Capabilities kept", status.confinement ? count(status.confinement.capabilities.length) : null],
        ["The compiler's process lacks", status.runtime.compiler_lacks.length > 0 ? shown(status.runtime.compiler_lacks.join("; ")) : "nothing"],
      ])));
    },
    news: latest,
    again: latest,
  };
}
