// What runs, the oldest first.
import { LOOK, change, get, offers, target } from "./api.js";
import { ask } from "./dialogs.js";
import { fill, h, name, shown, table } from "./dom.js";
import { bytes, duration } from "./format.js";

/** Milliseconds between two looks. */
const PAUSE = 1000;

const COLUMNS = [
  { title: "Operation" }, { title: "Age", number: true }, { title: "Bytes", number: true }, { title: "Layer" },
  { title: "Store", minor: true }, { title: "Driver", minor: true }, { title: "Client", minor: true }, { title: "Request", minor: true },
];

function cancel(call) {
  ask({
    title: "Cancel an operation",
    words: [`Ends ${call.operation} of ${call.client}${call.layer ? ` on ${shown(call.layer)}` : ""}. Its client is told; nothing half done stays.`],
    action: "Cancel it",
    doing: "The operation is told to end…",
    run: async (signal) => {
      await change("DELETE", target(["operations", call.request]), { signal });
      return h("p", { class: "done" }, "It was told to end.");
    },
  });
}

/** The operations as a table; a short one has only what tells most. */
export function operationTable(calls, { canEnd = false, isShort = false } = {}) {
  const dash = (text) => (text ? name(text) : h("span", { class: "muted" }, "–"));
  const cells = (call) => [
    h("span", {}, h("code", {}, call.operation), " ", h("span", { class: "muted" }, call.front_end)),
    duration(call.age_ms), bytes(call.bytes), dash(call.layer), dash(call.store),
    call.driver ? h("span", {}, name(call.driver), call.generation ? h("span", { class: "muted" }, ` (${call.generation})`) : null) : dash(),
    name(call.client), h("code", { class: "digest" }, shown(call.request)),
  ];
  const end = (call) => h("button", { type: "button", class: "small", "data-key": `end ${call.request}`, on: { click: () => cancel(call) } }, "Cancel…");
  const most = isShort ? 5 : COLUMNS.length;
  const columns = [...COLUMNS.slice(0, most), ...(canEnd ? [{ title: "Actions", kind: "act" }] : [])];
  return table("Running operations", columns,
    calls.map((call) => [...cells(call).slice(0, most), ...(canEnd ? [end(call)] : [])]), "Nothing runs.");
}

/** Whether a page like this one only looks. */
export function isOfPage(call) {
  return call.request.startsWith(LOOK);
}

export function operations() {
  const place = h("div", {});
  let timer = null;
  async function update() {
    const [told, canEnd] = await Promise.all([get(target(["operations"])), offers("delete", "/v1/operations/{operation}")]);
    fill(place, told.operations.filter((call) => !isOfPage(call)), (calls) => operationTable(calls, { canEnd }));
  }
  timer = setInterval(() => !document.hidden && update().catch(() => null), PAUSE);
  return {
    title: "Operations",
    element: h("div", {}, h("h1", { tabindex: "-1" }, "Operations"),
      h("p", { class: "muted" }, "Requests of REST, Docker and containerd that are being answered now, the oldest first. Looks of pages like this one are left out."), place),
    update,
    end: () => clearInterval(timer),
  };
}
