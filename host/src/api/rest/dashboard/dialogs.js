// Questions before something is changed, and what came of it.
import { alert, h } from "./dom.js";

/**
 * Asks whether something shall be done, does it, and shows what came of it.
 *
 * `fields` are elements of the form, `run(signal)` does it and makes the element that tells the outcome. Whoever closes the dialog
 * meanwhile ends it: the daemon gives up what its client does not wait for.
 */
export function ask({ title, words, fields = [], action, doing, run }) {
  const stop = new AbortController();
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
    place.replaceChildren(h("p", { class: "doing" }, doing));
    try {
      const outcome = await run(stop.signal);
      for (const field of form.querySelectorAll("p, label, fieldset")) field.remove();
      place.replaceChildren(outcome);
      go.remove();
      close.textContent = "Close";
      close.focus();
    } catch (problem) {
      if (problem.name === "AbortError") return;
      place.replaceChildren(alert("It was refused, and nothing has changed.", problem.message, problem.remedy,
        problem.request ? `The daemon's log has more as request=${problem.request}.` : null));
      go.disabled = false;
      go.textContent = "Try again";
    }
  }

  function closed() {
    stop.abort();
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
