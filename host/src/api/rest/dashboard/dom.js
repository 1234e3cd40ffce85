// Elements. Whatever a text holds it is set as text: there is no way from here to HTML.

/** Characters that would be invisible, turn a line round, or drive something: they are written out, as on the command line. */
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

/** A text of a stranger as it can be shown. */
export function shown(text) {
  return String(text).replace(HIDDEN, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);
}

/** An element: `on` has listeners, everything else is an attribute; children are nodes and texts, and lists of them. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "on") {
      for (const [kind, listener] of Object.entries(value)) element.addEventListener(kind, listener);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) add(element, child);
    else if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false) element.append(String(child));
  }
}

/** A name or an id of a stranger: isolated, so that its direction turns nothing else round. */
export function name(text, kind = "") {
  return h("bdi", { class: `name ${kind}`.trim(), title: shown(text) }, shown(text));
}

/** A word that says how something stands: `good`, `warn`, `bad` or nothing. */
export function chip(text, kind = "") {
  return h("span", { class: `chip ${kind}`.trim() }, text);
}

/** A table with a caption. Columns are `{title, number, minor}`, minor ones go where there is little room. */
export function table(caption, columns, rows, empty) {
  if (rows.length === 0 && empty) {
    return h("section", { class: "panel" }, h("h2", {}, caption), h("p", { class: "empty" }, empty));
  }
  const kind = (column) => [column.number && "number", column.minor && "minor", column.kind].filter(Boolean).join(" ") || null;
  const head = columns.map((column) => h("th", { scope: "col", class: kind(column) },
    column.kind === "act" ? h("span", { class: "hidden" }, column.title) : column.title));
  const line = (cells) =>
    h("tr", {}, cells.map((cell, at) => (at === 0
      ? h("th", { scope: "row", class: kind(columns[at]) }, cell)
      : h("td", { class: kind(columns[at]) }, cell))));
  // What is wider than the screen is scrolled by keys, too.
  return h("section", { class: "panel" }, h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows.map(line)))));
}

/** Names and values. */
export function facts(pairs, kind = "") {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: `facts ${kind}`.trim() },
    told.map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, value))));
}

/** How full something is. */
export function meter(label, used, total, text) {
  const share = total > 0 ? Math.min(1, used / total) : 0;
  const fill = h("span", { class: share > 0.95 ? "fill bad" : share > 0.85 ? "fill warn" : "fill" });
  fill.style.inlineSize = `${(share * 100).toFixed(1)}%`;
  const percent = Math.round(share * 100);
  return h("div", { class: "meter" },
    h("span", {
      class: "bar", role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100",
      "aria-valuenow": String(percent), "aria-valuetext": `${percent}% used, ${text}`,
    }, fill),
    h("span", { class: "told" }, text));
}

/** A problem with what would help. */
export function alert(title, detail, remedy, more) {
  return h("div", { class: "alert", role: "alert" },
    h("p", {}, h("strong", {}, title), detail ? [" ", h("bdi", {}, shown(detail))] : null),
    remedy ? h("p", { class: "remedy" }, "Try: ", h("bdi", {}, shown(remedy))) : null,
    more ? h("p", { class: "muted" }, more) : null);
}

/**
 * Puts a node that is made of `data` into `place`, unless it is there already. Whoever had the focus within keeps it, and what was opened
 * stays open: such elements are known by `data-key`.
 */
export function fill(place, data, make) {
  const text = JSON.stringify(data);
  if (place.filledWith === text) return;
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const opened = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  place.filledWith = text;
  place.replaceChildren(make(data));
  const keyed = [...place.querySelectorAll("[data-key]")];
  for (const one of keyed) if (opened.has(one.dataset.key)) one.open = true;
  if (key) keyed.find((one) => one.dataset.key === key)?.focus();
}
