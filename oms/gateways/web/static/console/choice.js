// Choice: a group of buttons of which one is chosen: one stop of the Tab key, arrows inside.

import { el, setAttr } from "./dom.js";

/** A radio group. options: [value, label] or {value, label, keys}; chosen(value) is called on a choice of the
 * person. Answers {node, set(value), value, refuse(value, why), buttons}. */
export function choice(label, options, chosen, { cls = "seg", value = null, labelledby = null } = {}) {
  const buttons = new Map();
  const node = el("div", { class: cls, role: "radiogroup", "aria-label": labelledby ? null : label, "aria-labelledby": labelledby });
  const self = {
    node,
    value: null,
    buttons,
    set(wanted) {
      self.value = wanted;
      for (const [each, button] of buttons) {
        setAttr(button, "aria-checked", each === wanted ? "true" : "false");
        setAttr(button, "tabindex", each === wanted ? null : "-1");
      }
    },
    /** Strike a value through, and say why it cannot be; why "": it can. */
    refuse(each, why) {
      const button = buttons.get(each);
      setAttr(button, "aria-disabled", why ? "true" : null);
      setAttr(button, "title", why || null);
      setAttr(button, "aria-description", why || null);
    },
  };
  for (const option of options) {
    const { value: each, label: text, keys } = Array.isArray(option) ? { value: option[0], label: option[1] } : option;
    const button = el("button", { type: "button", role: "radio", "aria-keyshortcuts": keys, data: { v: each }, text });
    button.addEventListener("click", () => pick(each));
    buttons.set(each, button);
    node.append(button);
  }
  const values = [...buttons.keys()];
  node.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = values.indexOf(document.activeElement?.dataset.v);
    const next = values[(at + step + values.length) % values.length];
    buttons.get(next).focus();
    pick(next);
  });
  self.set(value ?? values[0]);
  return self;

  function pick(each) {
    if (buttons.get(each).getAttribute("aria-disabled") === "true") return;
    self.set(each);
    chosen(each);
  }
}

/** The same as tabs over one panel. panel: the node with role tabpanel. */
export function tabs(label, options, panel, chosen) {
  const buttons = new Map();
  const node = el("div", { class: "tabs", role: "tablist", "aria-label": label });
  for (const [each, text] of options) {
    const button = el("button", { type: "button", role: "tab", id: `tab-${each}`, "aria-controls": panel.id, data: { v: each } }, text, el("span", { class: "n" }));
    button.addEventListener("click", () => pick(each));
    buttons.set(each, button);
    node.append(button);
  }
  const values = [...buttons.keys()];
  node.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const shown = values.filter((each) => buttons.get(each).offsetParent !== null);
    const at = shown.indexOf(document.activeElement?.dataset.v);
    pick(shown[(at + step + shown.length) % shown.length]);
    buttons.get(self.value).focus();
  });
  const self = { node, buttons, value: null, set };
  set(values[0]);
  return self;

  function set(wanted) {
    self.value = wanted;
    for (const [each, button] of buttons) {
      setAttr(button, "aria-selected", each === wanted ? "true" : "false");
      setAttr(button, "tabindex", each === wanted ? null : "-1");
    }
    setAttr(panel, "aria-labelledby", `tab-${wanted}`);
  }

  function pick(each) {
    set(each);
    chosen(each);
  }
}
