// Question: one line that asks before something is done for others or for ever: what happens, why, and
// two buttons, with the focus on the one that changes nothing.

import { happened } from "./announce.js";
import { el, show } from "./dom.js";
import { refusalBlock } from "./refusal.js";

/** Answers {node, ask({text, go, act, why})}. text: what will happen; go: the button; act(why): does it,
 * and answers what to say of it; why: ask for a reason (default), "needed", or "" for none. */
export function questionLine() {
  const node = el("div", { class: "inline question", hidden: true });
  const refusal = refusalBlock();
  return { node, ask };

  function ask({ text, go, act, why = "optional" }) {
    const opener = document.activeElement;
    const reason = el("input", { "aria-label": "Why", placeholder: "Why", maxlength: "200", spellcheck: "false", autocomplete: "off" });
    const button = el("button", { class: "btn crit", type: "submit", text: go });
    const keep = el("button", { class: "btn", type: "button", text: "Leave it", on: { click: close } });
    const form = el("form", { on: { submit: done } }, el("span", { text }), why ? reason : null, button, keep);
    refusal.clear();
    node.replaceChildren(form, refusal.node);
    node.onkeydown = (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        close();
      }
    };
    show(node, true);
    keep.focus();

    async function done(event) {
      event.preventDefault();
      if (button.disabled) return;
      if (why === "needed" && !reason.value.trim()) {
        refusal.show({ code: "WHY", message: "say why: it is kept in the record" });
        reason.focus();
        return;
      }
      button.disabled = true;
      try {
        happened(await act(reason.value.trim()));
        close();
      } catch (error) {
        refusal.show(error);
        button.disabled = false;
      }
    }

    /** Another question may have taken its place meanwhile. */
    function close() {
      if (!form.isConnected) return;
      show(node, false);
      node.replaceChildren();
      if (opener?.isConnected) opener.focus();
    }
  }
}
