// A storage driver in JavaScript: every layer is a complete copy of its parent.
//
//     <room>/files   the layer's files
//
// It exports `proto-driver` and knows nothing of archives: Mica composes it with its naive-diff component.

import * as home from "mica:host/home@1.0.0";
import * as mounts from "mica:host/mounts@1.0.0";

const bytes = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const FILES = bytes("files");

// Says what was being done when a host call failed: the host shows both. A failed host call is thrown with the failure in
// `payload`; an error of the driver is thrown as `{ tag, val }`.
function doing(what, work) {
  try {
    return work();
  } catch (thrown) {
    const failure = thrown?.payload;
    if (failure?.code === undefined) throw thrown;
    throw { tag: "host", val: { doing: what, failure } };
  }
}

// Closes handles in the end, the last one first.
function within(work) {
  const handles = [];
  const keep = (handle) => (handles.push(handle), handle);
  try {
    return work(keep);
  } finally {
    for (const handle of handles.reverse()) handle[Symbol.dispose]();
  }
}

export const protoDriver = {
  describe() {
    return {
      name: "my-driver",
      version: "0.1.0",
      summary: "Copies every layer, in JavaScript.",
      options: [],
      content: { tag: "complete", val: FILES },
    };
  },

  init(options) {
    for (const [key] of options) {
      throw { tag: "invalid", val: `option \`${key}\` is not known; there are none` };
    }
  },

  // Stage, fill, publish. Until the last line no one sees the layer; if anything fails, nothing of it stays.
  create(id, parent, options) {
    doing(`create layer \`${id}\``, () => {
      const staged = home.stage();
      within((keep) => {
        const room = keep(staged.room());
        const files = keep(room.createDirectory(FILES, 0o755));
        if (parent == null) return;
        const below = keep(home.open(parent));
        copyTree(keep(below.openDirectory(FILES)), files);
      });
      home.publish(staged, id);
    });
  },

  createReadWrite(id, parent, options) {
    protoDriver.create(id, parent, options);
  },

  remove(id) {
    doing(`remove layer \`${id}\``, () => home.discard(id));
  },

  // A view is a mount that the host attaches; `bind` shows one directory.
  get(id, access, mountLabel) {
    return doing(`mount layer \`${id}\``, () =>
      within((keep) => {
        const room = keep(home.open(id));
        return mounts.bind(keep(room.openDirectory(FILES)), access);
      }));
  },

  put(id) {},

  exists(id) {
    return doing(`look for layer \`${id}\``, () => home.exists(id));
  },

  status() {
    return [];
  },

  metadata(id) {
    return [];
  },

  cleanup() {},
};

// Copies all of `source`, its own attributes included, into the empty directory `target`.
function copyTree(source, target) {
  copyDirectory(source, target, { top: target, names: new Map() }, []);
}

function copyDirectory(source, target, copy, way) {
  within((keep) => {
    const listing = keep(source.list([]));
    for (;;) {
      const page = listing.next();
      if (page.length === 0) break;
      for (const entry of page) copyEntry(source, target, entry, copy, [...way, entry.name]);
    }
  });
  // After all that is in it: making a name changes the time of its directory.
  target.setAttributes(attributes(source.getAttributes([])));
  target.copyOwnXattrs(source);
}

function copyEntry(source, target, entry, copy, way) {
  const { name, attributes: found } = entry;
  if (found.kind === "directory") {
    within((keep) => {
      const inner = keep(source.openDirectory(name));
      copyDirectory(inner, keep(target.createDirectory(name, found.mode)), copy, way);
    });
    return;
  }
  if (found.links > 1) {
    const inode = `${found.device}:${found.inode}`;
    const first = copy.names.get(inode);
    if (first !== undefined) return link(first, target, name, copy.top);
    copy.names.set(inode, way);
  }
  copyNode(source, target, entry);
  target.copyXattrs(name, source, name);
}

function copyNode(source, target, entry) {
  const { name, attributes: found } = entry;
  if (found.kind === "regular") {
    within((keep) => {
      const made = keep(target.createFile(name, found.mode));
      // Within the host: the bytes never come here.
      if (found.size > 0n) made.copyContent(keep(source.openFile(name)));
      made.setAttributes(attributes(entry));
    });
    return;
  }
  if (found.kind === "symlink") target.createSymlink(name, source.readLink(name));
  else target.createNode(name, special(found), found.mode);
  target.setEntryAttributes(name, attributes(entry));
}

// Gives the node that was copied as `first` a further name.
function link(first, target, name, top) {
  within((keep) => {
    let here = top;
    for (const part of first.slice(0, -1)) here = keep(here.openDirectory(part));
    here.link(first.at(-1), target, name);
  });
}

function attributes({ attributes: found }) {
  return {
    owner: { uid: found.uid, gid: found.gid },
    mode: found.kind === "symlink" ? undefined : found.mode, // A symbolic link has none.
    modified: found.modified,
    xattrs: [],
  };
}

function special({ kind, major, minor }) {
  switch (kind) {
    case "block-device":
    case "character-device":
      return { tag: kind, val: [major, minor] };
    default:
      return { tag: kind };
  }
}
