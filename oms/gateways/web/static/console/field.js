// Field: one labelled number of the order form: its unit, steps by buttons and arrow keys.

import { el, setAttr, setClass, setText, show } from "./dom.js";
import { stepped } from "./order.js";

/** step(): {step, scale, from} of the arrows; from: where they begin; null: none. tidy(text): how a number
 * is written. typed(text): the person changed it. Answers
 * {node, input, set(text), unit(text), mark(isBad)}. */
export function numberField(id, label, typed, { step = null, unit = "", describedby = "", tidy = (text) => text } = {}) {
  const input = el("input", {
    id: `field-${id}`, inputmode: "decimal", spellcheck: "false", autocomplete: "off", "aria-describedby": describedby,
    on: { input: () => typed(input.value), keydown: arrows, change: leave },
  });
  const units = el("span", { class: "u", text: unit });
  const button = (times, sign, word) => el("button", {
    type: "button", tabindex: "-1", "aria-label": `${label} ${word}`, text: sign, on: { click: () => move(times) },
  });
  const box = el("div", { class: "inp" }, step ? button(-1, "−", "down") : null, input, step ? button(1, "+", "up") : null, units);
  const node = el("div", { class: "row" }, el("label", { class: "lab", for: input.id, text: label }), box);
  return {
    node,
    input,
    set(text) {
      if (input.value !== text) input.value = text;
    },
    unit: (text) => setText(units, text),
    show: (on) => show(node, on),
    mark(isBad) {
      setClass(box, "bad", isBad);
      setAttr(input, "aria-invalid", isBad ? "true" : null);
    },
  };

  /** When the person has done: the same number, grouped. */
  function leave() {
    input.value = tidy(input.value);
    typed(input.value);
  }

  function arrows(event) {
    const times = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!times || !step) return;
    event.preventDefault();
    move(event.shiftKey ? times * 10 : times);
  }

  function move(times) {
    const given = step();
    if (!given) return;
    input.value = tidy(stepped(input.value || given.from || "", given.step, input.value || !given.from ? times : 0, given.scale));
    typed(input.value);
  }
}

/** A labelled choice of few values, as a select. */
export function selectField(id, label, options, chosen) {
  const input = el("select", { id: `field-${id}`, on: { change: () => chosen(input.value) } },
    ...options.map(([value, text]) => el("option", { value, text })));
  const node = el("div", { class: "row" }, el("label", { class: "lab", for: input.id, text: label }), el("div", { class: "inp" }, input));
  return { node, input, show: (on) => show(node, on), set: (value) => (input.value = value) };
}
