// All stores, with the room on their file systems.
import { get, target } from "./api.js";
import { chip, fill, h, meter, name, shown, table } from "./dom.js";
import { bytes, count } from "./format.js";

const COLUMNS = [
  { title: "Store" }, { title: "Driver", minor: true }, { title: "Layers", number: true }, { title: "Mounted", number: true, minor: true },
  { title: "File system", minor: true }, { title: "Room", kind: "meters" }, { title: "Inodes", minor: true, kind: "meters" },
];

/** How much of a file system is used. */
export function room({ name: store, backing }) {
  const used = backing.total_bytes - backing.free_bytes;
  return meter(`Room for ${shown(store)}`, used, backing.total_bytes, `${bytes(backing.free_bytes)} free of ${bytes(backing.total_bytes)}`);
}

export function inodes({ name: store, backing }) {
  if (backing.total_inodes === 0) return h("span", { class: "muted" }, "not counted");
  const used = backing.total_inodes - backing.free_inodes;
  return meter(`Inodes for ${shown(store)}`, used, backing.total_inodes, `${count(backing.free_inodes)} free`);
}

export function storeTable(stores) {
  return table("Stores", COLUMNS, stores.map((store) => [
    h("span", {}, h("a", { href: `#/stores/${encodeURIComponent(store.name)}`, "data-key": `store ${store.name}` }, name(store.name)),
      store.holds_snapshots ? [" ", chip("snapshots")] : null, store.unavailable ? [" ", chip("unavailable", "bad")] : null),
    name(store.driver), count(store.layers), count(store.mounts), store.backing.filesystem, room(store), inodes(store),
  ]), "There is no store yet: mica store create NAME.");
}

export function stores() {
  const place = h("div", {});
  return {
    title: "Stores",
    element: h("div", {}, h("h1", { tabindex: "-1" }, "Stores"), place),
    async update() {
      const told = await get(target(["stores"]));
      fill(place, told.stores, storeTable);
    },
  };
}
