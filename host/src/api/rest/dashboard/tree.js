// A tree of any size: only the rows that can be seen are on the page.
//
// The focus stays on the tree itself, which says which row is meant (`aria-activedescendant`), so that no row that goes away
// takes the focus with it.
import { h } from "./dom.js";
import { below, grow, rows } from "./forest.js";

/** Pixels of a row, as in `style.css`. */
const ROW = 32;
/** Pixels of a column of lines. */
const COLUMN = 14;
/** Columns of lines that are drawn; of deeper ones the last. */
const MOST_COLUMNS = 16;
/** Rows beyond the edges that are there already when someone scrolls. */
const MARGIN = 8;
const SVG = "http://www.w3.org/2000/svg";

/** The lines and the point before a name. */
function rail(row) {
  const told = row.rails.slice(-MOST_COLUMNS);
  const svg = document.createElementNS(SVG, "svg");
  const [middle, width] = [ROW / 2, (told.length + 1) * COLUMN];
  for (const [name, value] of [["width", width], ["height", ROW], ["aria-hidden", "true"], ["class", "rail"]]) {
    svg.setAttribute(name, value);
  }
  const lines = [...told].map((mark, at) => {
    const x = at * COLUMN + COLUMN / 2;
    if (mark === " ") return "";
    const down = mark === "L" ? middle : ROW;
    return `M${x} 0V${down}${mark === "|" ? "" : `M${x} ${middle}H${x + COLUMN}`}`;
  });
  const x = told.length * COLUMN + COLUMN / 2;
  if (row.isChain) lines.push(`M${x} 0V${middle}`);
  if (row.isOpen) lines.push(`M${x} ${middle}V${ROW}`);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", lines.join(""));
  const point = document.createElementNS(SVG, "circle");
  for (const [name, value] of [["cx", x], ["cy", middle], ["r", row.children > 0 && !row.isOpen ? 5 : 4]]) point.setAttribute(name, value);
  point.setAttribute("class", row.children > 0 && !row.isOpen ? "closed" : "open");
  svg.append(path, point);
  return svg;
}

/** A tree with columns `{title, kind, cell(item)}`, the first of which is the name. */
export class Tree extends EventTarget {
  constructor(label, columns) {
    super();
    this.columns = columns;
    this.items = [];
    this.forest = grow([]);
    this.collapsed = new Set();
    this.isWanted = null;
    this.rows = [];
    this.active = 0;
    this.chosen = null;
    this.shownRows = new Map();
    this.inner = h("div", { class: "tree-rows", role: "rowgroup" });
    this.scroller = h("div", { class: "tree-scroller", role: "presentation", on: { scroll: () => this.soon() } }, this.inner);
    const head = columns.map(({ title, kind }) => h("div", { role: "columnheader", class: `cell ${kind}` }, title));
    this.element = h("div", {
      class: "tree", role: "treegrid", tabindex: "0", "aria-label": label, "aria-readonly": "true", "aria-colcount": String(columns.length),
      on: { keydown: (event) => this.key(event), focus: () => this.soon(), blur: () => this.soon() },
    }, h("div", { role: "rowgroup" }, h("div", { role: "row", class: "row head", "aria-rowindex": "1" }, head)), this.scroller);
    this.observer = new ResizeObserver(() => this.soon());
    this.observer.observe(this.scroller);
  }

  /** Shows these items; what was open, chosen and meant stays so. */
  set(items) {
    this.items = items;
    this.forest = grow(items);
    this.layOut();
  }

  /** Shows only items that `isWanted` takes, as a list; all of them as a tree if there is none. */
  filter(isWanted) {
    this.isWanted = isWanted;
    this.layOut();
  }

  layOut() {
    const meant = this.rows[this.active]?.item.id;
    this.rows = this.isWanted
      ? this.items.filter(this.isWanted).map((item, at, all) =>
        ({ item, level: 1, rails: "", isChain: false, isOpen: false, children: 0, position: at + 1, of: all.length }))
      : rows(this.forest, this.collapsed);
    const at = meant === undefined ? -1 : this.rows.findIndex((row) => row.item.id === meant);
    this.active = Math.max(0, at);
    this.inner.style.blockSize = `${this.rows.length * ROW}px`;
    this.element.setAttribute("aria-rowcount", String(this.rows.length + 1));
    this.again();
  }

  /** Draws what can be seen anew, because what the cells tell has changed. */
  again() {
    for (const { element } of this.shownRows.values()) element.remove();
    this.shownRows.clear();
    this.draw();
  }

  soon() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.draw();
    });
  }

  /** The items that can be seen. */
  visible() {
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW));
    const last = Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / ROW);
    return this.rows.slice(first, last).map((row) => row.item);
  }

  draw() {
    const { scrollTop, clientHeight } = this.scroller;
    const first = Math.max(0, Math.floor(scrollTop / ROW) - MARGIN);
    const last = Math.min(this.rows.length, Math.ceil((scrollTop + clientHeight) / ROW) + MARGIN);
    const wanted = new Set([this.active].filter((at) => at < this.rows.length));
    for (let at = first; at < last; at += 1) wanted.add(at);
    for (const [at, { element }] of this.shownRows) {
      if (!wanted.has(at)) {
        element.remove();
        this.shownRows.delete(at);
      }
    }
    for (const at of wanted) {
      if (!this.shownRows.has(at)) {
        const element = this.row(at);
        this.inner.append(element);
        this.shownRows.set(at, { element });
      }
    }
    for (const [at, { element }] of this.shownRows) {
      element.classList.toggle("active", at === this.active);
      element.setAttribute("aria-selected", String(this.rows[at].item.id === this.chosen));
    }
    const row = this.shownRows.get(this.active);
    if (row) this.element.setAttribute("aria-activedescendant", row.element.id);
    else this.element.removeAttribute("aria-activedescendant");
    this.dispatchEvent(new Event("drawn"));
  }

  row(at) {
    const row = this.rows[at];
    const [first, ...others] = this.columns;
    const isBranch = row.children > 0;
    const element = h("div", {
      class: "row", role: "row", id: `row-${at}`, "aria-rowindex": String(at + 2), "aria-level": String(row.level),
      "aria-posinset": String(row.position), "aria-setsize": String(row.of), "aria-expanded": isBranch ? String(row.isOpen) : null,
      on: { click: (event) => this.click(at, event) },
    },
    h("div", { role: "gridcell", class: `cell ${first.kind}` },
      this.isWanted ? null : h("span", { class: isBranch ? "twist" : "" }, rail(row)), first.cell(row.item)),
    others.map(({ kind, cell }) => h("div", { role: "gridcell", class: `cell ${kind}` }, cell(row.item))));
    element.style.transform = `translateY(${at * ROW}px)`;
    return element;
  }

  click(at, event) {
    this.active = at;
    if (event.target.closest(".twist")) this.toggle();
    else this.choose();
  }

  /** Opens or closes the row that is meant. */
  toggle() {
    const row = this.rows[this.active];
    if (!row || row.children === 0) return;
    if (row.isOpen) this.collapsed.add(row.item.id);
    else this.collapsed.delete(row.item.id);
    this.layOut();
  }

  /** Closes all rows that have children, or opens them. */
  fold(isClosed) {
    this.collapsed = new Set(isClosed ? this.forest.children.keys() : []);
    this.layOut();
  }

  choose() {
    const row = this.rows[this.active];
    if (!row) return;
    this.chosen = row.item.id;
    this.soon();
    this.dispatchEvent(new CustomEvent("choose", { detail: row.item }));
  }

  /** Means a row, and has it seen. */
  move(at) {
    if (this.rows.length === 0) return;
    this.active = Math.min(Math.max(at, 0), this.rows.length - 1);
    const top = this.active * ROW;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.scroller.scrollTop = top + ROW - clientHeight;
    this.draw();
  }

  /** Means an item, after what hides it was opened. */
  find(id) {
    for (const item of below(this.forest, id)) this.collapsed.delete(item.id);
    this.layOut();
    const at = this.rows.findIndex((row) => row.item.id === id);
    if (at >= 0) {
      this.move(at);
      this.choose();
    }
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const row = this.rows[this.active];
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW) - 1);
    const actions = {
      ArrowDown: () => this.move(this.active + 1),
      ArrowUp: () => this.move(this.active - 1),
      PageDown: () => this.move(this.active + page),
      PageUp: () => this.move(this.active - page),
      Home: () => this.move(0),
      End: () => this.move(this.rows.length - 1),
      Enter: () => this.choose(),
      " ": () => this.choose(),
      ArrowRight: () => (row?.children > 0 && !row.isOpen ? this.toggle() : this.move(this.active + 1)),
      ArrowLeft: () => {
        if (row?.isOpen) this.toggle();
        else this.move(this.rows.findIndex((other) => other.item.id === row?.item.parent));
      },
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  end() {
    this.observer.disconnect();
  }
}
