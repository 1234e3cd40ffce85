// Layers as a forest, and the rows that show it. Nothing here touches the page, and nothing is recursive, because chains are long.

/** The children of each item, in the order of the items; items whose parent is not there are roots. */
export function grow(items) {
  const byId = new Map(items.map((item) => [item.id, item]));
  const children = new Map();
  const roots = [];
  for (const item of items) {
    if (item.parent !== null && item.parent !== undefined && byId.has(item.parent)) {
      const list = children.get(item.parent);
      if (list) list.push(item);
      else children.set(item.parent, [item]);
    } else {
      roots.push(item);
    }
  }
  return { byId, children, roots };
}

/** The items that an item is built on, nearest first. */
export function below(forest, id) {
  const chain = [];
  for (let item = forest.byId.get(id); item; item = forest.byId.get(item.parent)) {
    if (item.id !== id) chain.push(item);
  }
  return chain;
}

/**
 * The rows that show a forest, parents first. A chain goes straight down; where it forks, the branches move one column to the right.
 * `rails` says for each column what passes: `|` a line, `+` a branch, `L` the last branch, a blank nothing.
 */
export function rows(forest, collapsed) {
  const found = [];
  const todo = [];
  const push = (items, level, rails, isChain) => {
    for (let at = items.length - 1; at >= 0; at -= 1) {
      const isLast = at === items.length - 1;
      const own = isChain || level === 1 ? rails : `${rails}${isLast ? "L" : "+"}`;
      todo.push({ item: items[at], level, rails: own, isChain, position: at + 1, of: items.length });
    }
  };
  push(forest.roots, 1, "", false);
  while (todo.length > 0) {
    const row = todo.pop();
    const children = forest.children.get(row.item.id) ?? [];
    row.children = children.length;
    row.isOpen = children.length > 0 && !collapsed.has(row.item.id);
    found.push(row);
    if (!row.isOpen) continue;
    const rails = row.rails.replaceAll("+", "|").replaceAll("L", " ");
    push(children, row.level + 1, rails, children.length === 1);
  }
  return found;
}
