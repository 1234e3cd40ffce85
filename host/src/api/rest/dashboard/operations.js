// What runs, the oldest first.
import { change, get, target } from "./api.js";
import { ask } from "./dialogs.js";
import { fill, h, name, shown, table } from "./dom.js";
import { bytes, duration } from "./format.js";

/** Milliseconds between two looks. */
const PAUSE = 1000;

const COLUMNS = [
  { title: "Operation" }, { title: "Age", number: true }, { title: "Bytes", number: true }, { title: "Layer" },
  { title: "Store", minor: true }, { title: "Driver", minor: true }, { title: "Client", minor: true }, { title: "Request", minor: true },
];

/** Whether this daemon takes the end of an operation, which its description tells. */
let isEndable;
async function learn() {
  isEndable ??= get(target(["openapi.json"])).then((document) =>
    Boolean(document.paths["/v1/operations/{operation}"]?.delete), () => false);
  return isEndable;
}

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

/** The operations as a table. */
export function operationTable(calls, canEnd = false) {
  const dash = (text) => (text ? name(text) : h("span", { class: "muted" }, "–"));
  const columns = canEnd ? [...COLUMNS, { title: "", kind: "act" }] : COLUMNS;
  return table("Running operations", columns, calls.map((call) => [
    h("span", {}, h("code", {}, call.operation), " ", h("span", { class: "muted" }, call.front_end)),
    duration(call.age_ms), bytes(call.bytes), dash(call.layer), dash(call.store),
    call.driver ? h("span", {}, name(call.driver), call.generation ? h("span", { class: "muted" }, ` (${call.generation})`) : null) : dash(),
    name(call.client), h("code", { class: "digest" }, shown(call.request)),
    ...(canEnd ? [h("button", { type: "button", class: "small", "data-key": `end ${call.request}`, on: { click: () => cancel(call) } }, "Cancel…")] : []),
  ]), "Nothing runs.");
}

/** What this page itself does is left out: it asks all the time. */
export function isOfPage(call) {
  return ["follow_events", "list_operations", "get_status", "get_readiness"].includes(call.operation);
}

export function operations() {
  const place = h("div", {});
  let timer = null;
  async function update() {
    const [told, canEnd] = await Promise.all([get(target(["operations"])), learn()]);
    fill(place, told.operations.filter((call) => !isOfPage(call)), (calls) => operationTable(calls, canEnd));
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
