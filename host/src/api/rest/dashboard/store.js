// One store: its layers or snapshots as a tree with sizes, who holds which mount, and what is known of the one that was chosen.
import { get, offers, pages, target } from "./api.js";
import { alert, chip, facts, fill, h, name, shown, table } from "./dom.js";
import { below } from "./forest.js";
import { bytes, count, moment, plural } from "./format.js";
import { Sizes } from "./sizes.js";
import { inodes, room } from "./stores.js";
import { Tree } from "./tree.js";

/** Layers that are asked for one by one when something happened to them; of more the whole list is. */
const ONE_BY_ONE = 8;
/** Milliseconds that something is in sight before its size is asked for. */
const REST = 120;

const MOUNTS = [{ title: "Layer" }, { title: "Held by" }, { title: "Access", minor: true }, { title: "Path", minor: true }];

/** A snapshot in the form of a layer. */
function ofSnapshot(snapshot) {
  return { ...snapshot, id: snapshot.key, mounts: 0, isSnapshot: true };
}

export function storeView(store) {
  const sizes = new Sizes(store);
  const items = new Map();
  const dirty = new Set();
  const gone = new Set();
  let isWhole = false;
  let isStale = true;
  let info = null;
  let mounts = new Map();
  let chosen = null;

  const tree = new Tree("Layers, each below its parent", [
    { title: "Layer", kind: "grow", cell: label },
    { title: "Own", kind: "number size", cell: (item) => own(item) },
    { title: "Shared", kind: "number size minor", cell: (item) => shared(item) },
    { title: "Mounts", kind: "number few minor", cell: (item) => (item.mounts > 0 ? count(item.mounts) : "") },
    { title: "Created", kind: "when minor", cell: (item) => moment(item.created) },
  ]);

  function label(item) {
    const kinds = { "read-write": "writable", active: "active", view: "view", content: null, committed: null };
    return h("span", { class: "label" }, name(item.id), kinds[item.kind] ? [" ", chip(kinds[item.kind])] : null,
      item.mounts > 0 ? [" ", chip("mounted", "info")] : null);
  }

  function own(item) {
    if (!item.layer) return h("span", { class: "muted" }, "–");
    const told = sizes.own(item.layer);
    if (told?.problem) return h("span", { class: "warn", title: shown(told.problem.detail) }, "not known");
    if (!told) return h("span", { class: "muted" }, "…");
    const bar = h("span", { class: "amount" });
    bar.style.inlineSize = `${sizes.largest > 0 ? (100 * told.usage.bytes) / sizes.largest : 0}%`;
    return h("span", { class: "sized" }, bar, h("span", {}, bytes(told.usage.bytes)));
  }

  function shared(item) {
    const chain = below(tree.forest, item.id).filter((one) => one.layer);
    if (chain.length === 0) return h("span", { class: "muted" }, "–");
    const sum = sizes.shared(chain);
    return sum === undefined ? h("span", { class: "muted" }, "…") : bytes(sum);
  }

  function wish() {
    const seen = tree.visible();
    const layers = seen.concat(seen.flatMap((item) => below(tree.forest, item.id)), chosen ? [chosen] : []).map((item) => item.layer);
    sizes.want(layers.filter(Boolean));
  }
  let wishing = null;
  tree.addEventListener("drawn", () => {
    clearTimeout(wishing);
    wishing = setTimeout(wish, REST);
  });
  sizes.addEventListener("change", () => {
    tree.again();
    tellDetails();
  });
  tree.addEventListener("choose", ({ detail }) => {
    chosen = detail;
    tellDetails();
    wish();
  });

  const head = h("div", { class: "head-facts" });
  const [told, details, mountPlace] = Array.from({ length: 3 }, () => h("div", {}));
  const filter = h("input", { id: "filter", type: "search", autocomplete: "off", placeholder: "part of an id", on: { input: sift } });
  const mounted = h("input", { id: "mounted", type: "checkbox", on: { change: sift } });

  function sift() {
    const text = filter.value.trim().toLowerCase();
    const isPlain = text === "" && !mounted.checked;
    tree.filter(isPlain ? null : (item) => item.id.toLowerCase().includes(text) && (!mounted.checked || item.mounts > 0));
    tellCount();
  }

  function tellCount() {
    const what = info?.holds_snapshots ? "snapshot" : "layer";
    const all = plural(items.size, what);
    const of = tree.isWanted ? `${plural(tree.rows.length, what)} of ${count(items.size)}` : all;
    fill(told, [of, isWhole], () => h("p", { class: "muted", role: "status" }, isWhole ? of : `${of} so far…`));
  }

  function tellHead() {
    if (!info) return;
    fill(head, info, () => h("div", {},
      info.unavailable ? alert("This store cannot be used.", info.unavailable, "`mica status` tells more; a swap or a rollback of its driver may help") : null,
      facts([
        ["Driver", h("a", { href: "#/drivers", "data-key": "driver" }, name(info.driver))], ["For", info.client ? name(info.client) : null],
        ["Layers", count(info.layers)], ["Mounted", count(info.mounts)], ["File system", info.backing.filesystem],
        ["Room", room(info)], ["Inodes", inodes(info)], ["Created", moment(info.created)], ["Home", name(info.path, "path")],
        ["Options", Object.keys(info.options).length > 0 ? name(Object.entries(info.options).map((pair) => pair.join("=")).join(", ")) : null],
        ["Chosen because", info.chosen ? name(info.chosen) : null],
      ])));
  }

  function tellDetails() {
    if (!chosen) {
      fill(details, null, () => h("p", { class: "empty" }, "Choose a layer to see what is known of it: with a click, or with arrow keys and Enter."));
      return;
    }
    const item = items.get(chosen.id);
    if (!item) {
      fill(details, chosen.id, () => h("p", { class: "empty" }, "This layer is gone."));
      return;
    }
    chosen = item;
    const chain = below(tree.forest, item.id);
    const usage = item.layer ? sizes.own(item.layer) : null;
    const sum = sizes.shared(chain.filter((one) => one.layer));
    const held = mounts.get(item.id);
    const children = tree.forest.children.get(item.id)?.length ?? 0;
    fill(details, [item, usage, sum, held, children], () => h("div", {}, h("h2", {}, name(item.id, "whole")), facts([
      ["Kind", item.kind],
      ["Parent", item.parent ? h("button", { type: "button", class: "link", "data-key": "parent", on: { click: () => tree.find(item.parent) } }, name(item.parent)) : "none"],
      ["Children", count(children)], ["Layers in its chain", count(chain.length + 1)],
      ["Own", usage?.usage ? bytes(usage.usage.bytes) : usage?.problem ? shown(usage.problem.detail) : "…"],
      ["Inodes", usage?.usage?.inodes === undefined ? null : count(usage.usage.inodes)],
      ["Shared with those below", chain.length === 0 ? "–" : sum === undefined ? "…" : bytes(sum)],
      ["Measured by", usage?.usage?.source],
      ["Created", moment(item.created)], ["Changed", item.updated ? moment(item.updated) : null],
      ["Directory", item.number === undefined ? null : String(item.number)],
      ["Its layer", item.isSnapshot && item.layer ? name(item.layer) : null],
      ["Mounted at", held?.path ? name(held.path, "whole") : null], ["Access", held?.access],
      ["Held by", held ? holders(held) : null],
    ], "narrow"),
    item.labels && Object.keys(item.labels).length > 0
      ? h("div", {}, h("h3", {}, "Labels"), facts(Object.entries(item.labels).map(([key, value]) => [name(key, "whole"), name(value, "whole")]), "narrow")) : null));
  }

  /** Who holds a mount: references with names, processes that use its files, and how many references there are. */
  function holders({ references, holders: named, processes }) {
    const parts = [plural(references, "reference"),
      ...(named ?? []).map((one) => [name(one.reference), one.has_ended ? [" ", chip("its process has ended", "warn")] : null]),
      ...processes.map(({ pid, name: word }) => [name(word), h("span", { class: "muted" }, ` (${pid})`)])];
    return h("span", {}, parts.map((part, at) => [at > 0 ? ", " : null, part]));
  }

  async function tellMounts() {
    if (info.mounts === 0) {
      mounts = new Map();
    } else {
      const { signal } = sizes.stop;
      const [{ processes }, told] = await Promise.all([get(target(["stores", store, "processes"]), signal),
        // Of a daemon that does not tell it there are the numbers of references.
        await offers("get", "/v1/stores/{store}/mounts") ? get(target(["stores", store, "mounts"]), signal) : null]);
      const list = told?.mounts ?? [...items.values()].filter((item) => item.mounts > 0)
        .map((item) => ({ layer: item.id, references: item.mounts }));
      mounts = new Map(list.map((mount) => [mount.layer, { ...mount, processes: processes.filter(({ layer }) => layer === mount.layer) }]));
    }
    const dash = () => h("span", { class: "muted" }, "–");
    fill(mountPlace, [...mounts.values()], (list) => table("Mounts", MOUNTS, list.map((mount) => [
      h("button", { type: "button", class: "link", "data-key": `mount ${mount.layer}`, on: { click: () => tree.find(mount.layer) } }, name(mount.layer)),
      holders(mount), mount.access ?? dash(), mount.path ? name(mount.path, "path") : dash(),
    ]), info.holds_snapshots ? "containerd mounts its snapshots by itself." : "Nothing is mounted."));
  }

  function put(item) {
    items.set(item.id, item.isSnapshot ? item : { ...item, layer: item.id });
  }

  async function load() {
    const found = new Map();
    const isFirst = items.size === 0;
    const [kind, form] = info.holds_snapshots ? ["snapshots", ofSnapshot] : ["layers", (layer) => ({ ...layer, layer: layer.id })];
    await pages(["stores", store, kind], kind, (page, isLast) => {
      for (const one of page) {
        const item = form(one);
        found.set(item.id, item);
        if (item.isSnapshot && item.layer && item.usage) sizes.learn(item.layer, item.usage);
      }
      // The first page is there to be seen while the others come.
      if (isFirst && (isLast || items.size === 0)) show(found, isLast);
    }, sizes.stop.signal);
    show(found, true);
  }

  function show(found, isLast) {
    items.clear();
    for (const item of found.values()) items.set(item.id, item);
    isWhole = isLast;
    tree.set([...items.values()]);
    tellCount();
  }

  async function refresh() {
    if (isStale || info.holds_snapshots && dirty.size + gone.size > 0 || dirty.size > ONE_BY_ONE) {
      isStale = false;
      dirty.clear();
      gone.clear();
      await load();
      return;
    }
    const ids = [...dirty];
    const hasChanged = ids.length + gone.size > 0;
    for (const id of gone) items.delete(id);
    dirty.clear();
    gone.clear();
    for (const id of ids) {
      const found = await get(target(["stores", store, "layers", id]), sizes.stop.signal).catch((problem) => {
        if (problem.code === "unknown-layer") return null;
        dirty.add(id);
        throw problem;
      });
      if (found) put(found);
      else items.delete(id);
    }
    if (hasChanged) {
      tree.set([...items.values()]);
      tellCount();
    }
  }

  tellDetails();
  return {
    title: shown(store),
    element: h("div", {}, h("h1", { tabindex: "-1" }, h("a", { href: "#/stores" }, "Stores"), h("span", { class: "muted" }, " / "), name(store)), head,
      h("div", { class: "tools", role: "search", "aria-label": "Filter layers" },
        h("label", { for: "filter" }, "Filter"), filter, h("span", { class: "check" }, mounted, h("label", { for: "mounted" }, "mounted only")),
        h("button", { type: "button", on: { click: () => tree.fold(false) } }, "Open all"),
        h("button", { type: "button", on: { click: () => tree.fold(true) } }, "Close all"), told),
      h("div", { class: "split" }, h("section", { class: "panel flush", "aria-label": "Layers" }, tree.element),
        h("aside", { class: "panel", "aria-label": "The chosen layer" }, details)), mountPlace),
    async update() {
      const told = await get(target(["stores"]), sizes.stop.signal);
      info = told.stores.find((one) => one.name === store) ?? null;
      if (!info) throw Object.assign(new Error(`there is no store \`${store}\``), { remedy: "see the list of stores" });
      tellHead();
      await refresh();
      await tellMounts();
      tellDetails();
    },
    news(list) {
      for (const event of list) {
        if (event.store !== store || !event.layer) continue;
        const [now, before] = event.kind === "layer.removed" ? [gone, dirty] : [dirty, gone];
        now.add(event.layer);
        before.delete(event.layer);
        // A mount may have changed it until now.
        if (event.kind !== "layer.mounted") sizes.forget(event.layer);
      }
    },
    again() {
      isStale = true;
    },
    end() {
      clearTimeout(wishing);
      sizes.end();
      tree.end();
    },
  };
}
