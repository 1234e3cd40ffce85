// What layers occupy, asked for as they come into sight. Measuring walks files, so one question runs at a time, and none
// for what nobody looks at.
import { get, target } from "./api.js";

/** Layers of one question: few enough that numbers appear soon. */
const TOGETHER = 16;

/** The sizes of the layers of a store; `change` is told when some have come. */
export class Sizes extends EventTarget {
  constructor(store) {
    super();
    this.store = store;
    this.known = new Map();
    this.queue = [];
    this.largest = 0;
    this.stop = new AbortController();
  }

  /** What a layer occupies beyond its parent: a usage, a problem, or nothing yet. */
  own(id) {
    return this.known.get(id);
  }

  /** The sum of what lies below a layer, if all of it is known. */
  shared(chain) {
    let sum = 0;
    for (const { layer } of chain) {
      const usage = this.known.get(layer)?.usage;
      if (!usage) return undefined;
      sum += usage.bytes;
    }
    return sum;
  }

  /** Takes a size that is known from elsewhere. */
  learn(id, usage) {
    if (this.known.has(id)) return;
    this.known.set(id, { id, usage });
    this.largest = Math.max(this.largest, usage.bytes);
  }

  forget(id) {
    this.known.delete(id);
  }

  /** Asks for these layers next, and for no other that is waited for. */
  want(ids) {
    this.queue = [...new Set(ids)].filter((id) => !this.known.has(id));
    this.run();
  }

  async run() {
    if (this.isRunning) return;
    this.isRunning = true;
    while (this.queue.length > 0 && !this.stop.signal.aborted) {
      const asked = this.queue.splice(0, TOGETHER);
      try {
        const query = asked.map((id) => ["layer", id]);
        const told = await get(target(["stores", this.store, "usage"], query), this.stop.signal);
        for (const one of told.layers) {
          this.known.set(one.id, one);
          if (one.usage) this.largest = Math.max(this.largest, one.usage.bytes);
        }
      } catch (error) {
        // Why nothing could be measured is told beside each of them.
        for (const id of asked) this.known.set(id, { id, problem: { code: error.code, detail: error.message } });
      }
      this.dispatchEvent(new Event("change"));
    }
    this.isRunning = false;
  }

  end() {
    this.stop.abort();
  }
}
