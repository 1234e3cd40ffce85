// Drivers: their builds, what they may do, how they fare; and swap, rollback and release.
import { change, get, target } from "./api.js";
import { ask, field } from "./dialogs.js";
import { alert, chip, facts, fill, h, name, shown, table } from "./dom.js";
import { bytes, count, digest, moment, plural } from "./format.js";

const BUILDS = [
  { title: "Build" }, { title: "Digest" }, { title: "Version", minor: true }, { title: "Origin", minor: true },
  { title: "Since", minor: true }, { title: "State" }, { title: "Actions", kind: "act" },
];

/** How a driver stands, in words. */
export function standing(driver) {
  if (driver.quarantined) return chip("quarantined", "bad");
  if (driver.quarantines?.length > 0) return chip("partly quarantined", "warn");
  if (driver.went_back) return chip("went back", "warn");
  if (driver.bake) return chip("baking", "info");
  return chip("active", "good");
}

/** What a swap or a rollback did, with what the probe and the bake have to say. */
function report(told) {
  const watched = told.bake_seconds > 0
    ? `The build is watched for ${told.bake_seconds} s, and the one before takes over again by itself if it does worse.`
    : "The build is not watched, because no bake is set.";
  return h("div", {},
    h("p", { class: "done" }, told.old_digest === told.new_digest ? "The same build runs anew." : "The new build runs."),
    facts([
      ["Build", `number ${told.build}`], ["Digest", digest(told.new_digest)], ["Before", digest(told.old_digest)],
      ["Compiled in", `${count(told.compile_ms)} ms`],
      ["Probe", `passed in ${count(told.probe_ms)} ms: scratch store, and ${plural(told.layers_asked, "layer")} that are there`],
      ["Calls compared", told.calls_compared > 0 ? count(told.calls_compared) : null],
      ["On the old build", told.running_on_old > 0 ? `${plural(told.running_on_old, "operation")} end there` : "nothing runs"],
    ]),
    h("p", {}, watched));
}

function swap(driver) {
  const file = h("input", { type: "file", accept: ".wasm,application/wasm" });
  const shadow = h("input", { type: "text", autocomplete: "off", placeholder: "100 or 30s", size: "12" });
  const accept = h("input", { type: "checkbox" });
  ask({
    title: `Swap ${shown(driver.name)}`,
    words: [
      "The new build is compiled, probed in a scratch store, and asked about layers that are there. Whatever fails leaves the build in place that runs now.",
      "Mounts do not move, and operations that run end on the build that they began with.",
    ],
    fields: [
      field("Component", file, "A .wasm file. Without one the component of the running build is loaded anew."),
      field("Compare first", shadow, "Calls of clients that are asked of both builds before the new one takes over: a number, or seconds. Empty for none."),
      field("Accept other answers", accept, "For a build that is meant to answer otherwise than the running one."),
    ],
    action: "Swap",
    doing: "The build is compiled and probed…",
    run: async (signal) => {
      const query = [["shadow", shadow.value.trim()], ["differences", accept.checked ? "accept" : ""]];
      const body = file.files[0];
      return report(await change("POST", target(["drivers", driver.name, "swap"], query), { body, type: body && "application/wasm", signal }));
    },
  });
}

function rollBack(driver, build) {
  const to = build ? `build ${build.number}` : "the build before";
  ask({
    title: `Roll ${shown(driver.name)} back`,
    words: [
      `Puts ${to} in place of the one that runs now${build ? "" : `, ${driver.digest.slice(7, 19)}`}.`,
      "It is probed like any other build. Mounts do not move.",
    ],
    action: "Roll back",
    doing: "The build is loaded and probed…",
    run: async (signal) => report(await change("POST", target(["drivers", driver.name, "rollback"], [["to", build?.number]]), { signal })),
  });
}

function release(driver, quarantine) {
  const whom = !quarantine?.store ? "everyone" : quarantine.layer ? `layer ${shown(quarantine.layer)} of store ${shown(quarantine.store)}`
    : `store ${shown(quarantine.store)}`;
  ask({
    title: `Release ${shown(driver.name)}`,
    words: [`Lets the driver be called again for ${whom}, and counts its faults anew.`, "If what made it break is still there, it will break again."],
    action: "Release",
    doing: "The quarantine is ended…",
    run: async (signal) => {
      const query = [["store", quarantine?.store], ["layer", quarantine?.layer]];
      const told = await change("POST", target(["drivers", driver.name, "release"], query), { signal });
      return h("div", {}, h("p", { class: "done" }, told.released.length === 0 ? "Nothing was quarantined." : "The driver may be called again."));
    },
  });
}

function button(key, text, run, kind = "") {
  return h("button", { type: "button", class: kind, "data-key": key, on: { click: run } }, text);
}

function buildTable(driver, history) {
  const states = { active: "good", baking: "info", "went-back": "warn" };
  const lines = history.builds.map((build) => [
    String(build.number), digest(build.digest), name(build.version), build.origin, moment(build.since),
    h("span", {}, chip(build.state, states[build.state]), build.evidence
      ? h("p", { class: "evidence" }, h("bdi", {}, shown(`${build.evidence.what}; the first: ${build.evidence.first}`))) : null),
    build.kept && !["active", "baking"].includes(build.state)
      ? button(`back ${driver.name} ${build.number}`, `Roll back to ${build.number}`, () => rollBack(driver, build), "small") : null,
  ]);
  return table(`Builds of ${shown(driver.name)}`, BUILDS, lines);
}

function quarantineTable(driver) {
  if (!driver.quarantines?.length) return null;
  const columns = [{ title: "Kept from" }, { title: "Since", minor: true }, { title: "Reason" }, { title: "Actions", kind: "act" }];
  return table(`Quarantines of ${shown(driver.name)}`, columns, driver.quarantines.map((one) => [
    one.layer ? h("span", {}, "layer ", name(one.layer), " of ", name(one.store)) : one.store ? h("span", {}, "store ", name(one.store)) : "everyone",
    moment(one.since), h("bdi", {}, shown(one.reason)),
    button(`release ${driver.name} ${one.store} ${one.layer}`, "Release", () => release(driver, one), "small"),
  ]));
}

/** What the bake, and a build that went back, say. */
function verdict(driver) {
  if (driver.went_back) {
    const { what, first } = driver.went_back;
    return alert("The last swap went back by itself.", `${what}; the first: ${first}`, "look at the evidence, then swap to a better build, or release");
  }
  if (!driver.bake) return null;
  const { calls, failed, before, since } = driver.bake;
  return h("p", { class: "note" }, "Bakes since ", moment(since), `: ${plural(calls, "call")}, ${count(failed)} failed. If it does worse, `,
    digest(before), " takes over again.");
}

function card({ driver, history }) {
  const words = (list) => (list.length === 0 ? "none" : h("ul", { class: "words" }, list.map((word) => h("li", {}, h("code", {}, shown(word))))));
  return h("article", { class: "card", "aria-labelledby": `driver-${driver.name}` },
    h("header", {},
      h("div", {}, h("h2", { id: `driver-${driver.name}` }, name(driver.name), " ", standing(driver)),
        h("p", { class: "muted" }, h("bdi", {}, shown(driver.summary)))),
      h("div", { class: "buttons" },
        driver.quarantined ? button(`release ${driver.name}`, "Release…", () => release(driver)) : null,
        driver.previous ? button(`back ${driver.name}`, "Roll back…", () => rollBack(driver)) : null,
        button(`swap ${driver.name}`, "Swap…", () => swap(driver), "primary"))),
    driver.quarantined ? alert("Nobody may call this driver.", driver.quarantined, "swap to a build that does not break, or release it") : null,
    verdict(driver),
    facts([
      ["Version", name(driver.version)], ["Digest", digest(driver.digest)], ["Loaded", moment(driver.loaded)],
      ["Generation", count(driver.generation)], ["Size", bytes(driver.size_bytes)],
      ["Origin", driver.origin], ["World", driver.composed ? `${driver.world}, with naive-diff` : driver.world],
      ["Running", count(driver.running)], ["Operations", count(driver.operations)],
      ["Faults", driver.faults > 0 ? chip(count(driver.faults), "warn") : "0"],
      ["Next start", history.follows_shipped ? "what ships then" : "this build"],
      ["Stores", driver.stores.length === 0 ? "none" : h("span", {}, driver.stores.map((store, at) =>
        [at > 0 ? ", " : null, h("a", { href: `#/stores/${encodeURIComponent(store)}`, "data-key": `${driver.name} ${store}` }, name(store))]))],
    ]),
    facts([["Grants", words(driver.grants)]], "long"),
    h("details", { "data-key": `imports ${driver.name}` }, h("summary", { "data-key": `imports of ${driver.name}` }, `Imports (${count(driver.imports.length)})`), words(driver.imports)),
    driver.replaced?.length > 0 ? h("p", { class: "note" }, driver.replaced.map((one) =>
      [`${plural(one.running, "operation")} still on `, digest(one.digest), ". "])) : null,
    quarantineTable(driver), buildTable(driver, history));
}

export function drivers() {
  const places = new Map();
  const list = h("div", { class: "cards" });
  return {
    title: "Drivers",
    element: h("div", {}, h("h1", { tabindex: "-1" }, "Drivers"), list),
    async update() {
      const told = await get(target(["drivers"]));
      const all = await Promise.all(told.drivers.map(async (driver) =>
        ({ driver, history: await get(target(["drivers", driver.name, "history"])) })));
      for (const [key, place] of places) {
        if (!all.some(({ driver }) => driver.name === key)) {
          place.remove();
          places.delete(key);
        }
      }
      for (const one of all) {
        if (!places.has(one.driver.name)) {
          places.set(one.driver.name, h("div", {}));
          list.append(places.get(one.driver.name));
        }
        fill(places.get(one.driver.name), one, card);
      }
    },
  };
}
