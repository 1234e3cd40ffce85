// Numbers and times as people read them. Sizes are decimal, as on the command line.
import { h } from "./dom.js";

const NUMBER = new Intl.NumberFormat("en");
const UNITS = ["kB", "MB", "GB", "TB", "PB", "EB"];

export function count(number) {
  return NUMBER.format(number ?? 0);
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function bytes(number) {
  if (number === null || number === undefined) return "–";
  if (number < 1000) return `${number} B`;
  let value = number;
  let unit = -1;
  do {
    value /= 1000;
    unit += 1;
  } while (value >= 999.95 && unit < UNITS.length - 1);
  return `${value.toFixed(1)} ${UNITS[unit]}`;
}

/** A time that has passed, in its two largest units. */
export function duration(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = parts.findIndex(([, size]) => whole >= size);
  const [[large, size], [small, part]] = [parts[first], parts[Math.min(first + 1, 3)]];
  return `${Math.floor(whole / size)} ${large} ${Math.floor((whole % size) / part)} ${small}`;
}

/** A moment, on the reader's clock; the title has it as the daemon told it. */
export function moment(text, { date = true } = {}) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return h("span", {}, "–");
  const two = (number) => String(number).padStart(2, "0");
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return h("time", { datetime: at.toISOString(), title: `${at.toISOString()}` }, date ? `${day} ${clock}` : clock);
}

/** The beginning of a digest; the title has all of it. */
export function digest(text) {
  return h("code", { class: "digest", title: text }, String(text).replace(/^sha256:/, "").slice(0, 12));
}
