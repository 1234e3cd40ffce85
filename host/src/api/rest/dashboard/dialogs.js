// Questions before something is changed, and what came of it.
import { change, isRefused, newKey, target } from "./api.js";
import { alert, h } from "./dom.js";

/**
 * Asks whether something shall be done, does it, and shows what came of it.
 *
 * `fields` are elements of the form, `run({ signal, key })` does it and makes the element that tells the outcome. The key is that of the
 * dialog: what is tried again is done once. Whoever closes the dialog meanwhile asks the daemon to end it.
 */
export function ask({ title, words, fields = [], action, doing, run }) {
  const stop = new AbortController();
  const key = newKey();
  let isRunning = false;
  const place = h("div", { class: "outcome", "aria-live": "polite" });
  const go = h("button", { class: "primary", type: "submit" }, action);
  const close = h("button", { type: "button", on: { click: () => dialog.close() } }, "Cancel");
  const form = h("form", { on: { submit } },
    h("h2", { id: "dialog-title" }, title), words.map((text) => h("p", {}, text)), fields, place,
    h("div", { class: "buttons" }, close, go));
  const opener = document.activeElement?.dataset?.key;
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", on: { close: closed } }, form);

  async function submit(event) {
    event.preventDefault();
    go.disabled = true;
    isRunning = true;
    place.replaceChildren(h("p", { class: "doing" }, doing));
    try {
      const outcome = await run({ signal: stop.signal, key });
      for (const field of form.querySelectorAll("p, label, fieldset")) field.remove();
      place.replaceChildren(outcome);
      go.remove();
      close.textContent = "Close";
      close.focus();
    } catch (problem) {
      if (problem.name === "AbortError") return;
      const title = isRefused(problem) ? "It was refused, and nothing has changed."
        : "It is not known what came of it. Trying again does it once, unless the daemon was started anew.";
      place.replaceChildren(alert(title, problem.message, problem.remedy,
        problem.request ? `The daemon's log has more as request=${problem.request}.` : null));
      go.disabled = false;
      go.textContent = "Try again";
    } finally {
      isRunning = false;
    }
  }

  function closed() {
    stop.abort();
    // With a key it goes on without its client. Of what is no operation there is nothing to end.
    if (isRunning) change("DELETE", target(["operations", key])).catch(() => null);
    dialog.remove();
    [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === opener)?.focus();
  }

  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A field with its label, and a sentence about it. */
export function field(label, input, hint) {
  const id = `field-${label.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  input.id = id;
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  const isCheck = input.type === "checkbox";
  return h("fieldset", { class: isCheck ? "field check" : "field" },
    isCheck ? [input, h("label", { for: id }, label)] : [h("label", { for: id }, label), input],
    hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null);
}
