// Refusal: why something was refused, where it arose: code, number, words, and buttons that repair.

import { alarm } from "./announce.js";
import { el } from "./dom.js";

/** A block that shows refusals. block.show(error, repairs): repairs are [label, act]; block.done(text):
 * what was done instead; block.clear(). node: where it is. */
export function refusalBlock() {
  const node = el("div", { class: "refusal" });
  return {
    node,
    show(error, repairs = [], { isLoud = true } = {}) {
      node.className = "refusal";
      const code = error.number ? `${error.code} ${error.number}` : error.code;
      node.replaceChildren(
        el("p", {}, el("code", { class: "code", text: code })),
        el("p", { text: sentence(error.words ?? error.message) }),
        ...(repairs.length
          ? [el("p", { class: "repairs" }, ...repairs.map(([label, act]) =>
              el("button", { class: "btn", type: "button", text: label, on: { click: act } })))]
          : []),
      );
      if (isLoud) alarm(`Refused, ${error.code}. ${error.words ?? error.message}`);
    },
    done(...words) {
      node.className = "refusal ok";
      node.replaceChildren(el("p", {}, ...words));
    },
    clear() {
      if (node.childNodes.length) node.replaceChildren();
    },
  };
}

/** With a capital and a full stop. */
export function sentence(text) {
  const whole = text ? text[0].toUpperCase() + text.slice(1) : "";
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}
