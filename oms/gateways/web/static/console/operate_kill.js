// Operate's kill switch. First whom it stops; then what will happen in numbers, why, and the typed
// words. The button acts on a press alone, and only while the words match.

import { happened } from "./announce.js";
import { choice } from "./choice.js";
import { byId, el, setAttr, setClass, setText, show } from "./dom.js";
import { hurry, seen } from "./operate_data.js";
import { refusalBlock } from "./refusal.js";
import { ask, silentText } from "./rest.js";
import { serverNow, store, watch } from "./store.js";
import { milliseconds, shown, timeOrDay } from "./units.js";

const SCOPES = [["ALL", "Everybody"], ["ACCOUNT", "Account"], ["SYMBOL", "Market"]];

/** Answers {node}. */
export function killPanel() {
  const state = el("span", { class: "meta" });
  const box = el("div", { class: "killbox" });
  const node = el("section", { class: "p kill", "aria-labelledby": "h-kill" },
    el("header", {}, el("h2", { id: "h-kill", text: "Kill switch" }), el("span", { class: "grow" }), state),
    el("div", { class: "scroll", role: "region", "aria-label": "Whom it stops", tabindex: "0" }, box));
  let isOn = false; // the form of an exchange that trades stands there until it is known
  box.append(scopeForm());
  watch(["operate.halts", "operate.actions"], paint, { view: "operate" });
  return { node };

  function paint() {
    if (!seen.halts) return;
    const halted = seen.halts.everybody !== "ACTIVE";
    setText(state, halted ? `${seen.halts.everybody.toLowerCase()} for everybody` : "off");
    setClass(node, "on", halted);
    paintBanner(halted);
    if (halted === isOn) return;
    isOn = halted;
    box.replaceChildren(halted ? releaseForm() : scopeForm());
  }

  // --- whom ---

  function scopeForm() {
    const scope = choice("Stop", SCOPES, () => choose(), { cls: "seg fill" });
    const account = el("input", { spellcheck: "false", autocomplete: "off", maxlength: "64" });
    const market = el("select", {});
    const forAccount = el("label", { class: "stack" }, el("span", { text: "Account" }), account);
    const forMarket = el("label", { class: "stack" }, el("span", { text: "Market" }), market);
    const refusal = refusalBlock();
    const form = el("form", { on: { submit: next } },
      el("p", { class: "dim", text: "Refuses new orders and cancels the open ones, until it is released." }),
      scope.node, forAccount, forMarket, refusal.node,
      el("button", { class: "btn", text: "What would happen…" }));
    choose();
    return form;

    function choose() {
      show(forAccount, scope.value === "ACCOUNT");
      show(forMarket, scope.value === "SYMBOL");
      market.replaceChildren(...[...store.markets.keys()].map((symbol) => el("option", { text: symbol })));
      refusal.clear();
    }

    async function next(event) {
      event.preventDefault();
      const target = { ALL: "", ACCOUNT: account.value.trim(), SYMBOL: market.value }[scope.value];
      if (scope.value === "ACCOUNT" && !target) {
        refusal.show({ code: "ACCOUNT", message: "name the account" });
        account.focus();
        return;
      }
      try {
        const open = await ask("GET", "/admin/open", { query: { scope: scope.value, target } });
        const form = wordsForm(scope.value, target, open);
        box.replaceChildren(form);
        form.querySelector("input").focus();
      } catch (error) {
        refusal.show(error);
      }
    }
  }

  // --- what happens, why, and the words ---

  function wordsForm(scope, target, open) {
    const words = `KILL ${scope === "ALL" ? "EVERYBODY" : target}`;
    const why = el("input", { maxlength: "200", spellcheck: "false", autocomplete: "off", required: true });
    const typed = el("input", { spellcheck: "false", autocomplete: "off", autocapitalize: "off" });
    const button = el("button", { class: "go stop", type: "button", "aria-disabled": "true", text: "Stop all trading", on: { click: act } });
    const refusal = refusalBlock();
    const id = `kill-${crypto.randomUUID()}`; // the same of a second press: never twice
    const markets = scope === "SYMBOL" ? target : `all ${store.markets.size} markets`;
    const form = el("form", { on: { submit: (event) => event.preventDefault() } },
      el("p", {}, "Stop ", el("b", { text: scope === "ALL" ? "everybody" : target }), ". This happens at once:"),
      el("ul", { class: "will" },
        el("li", {}, "new orders are refused in ", el("b", { text: markets }), scope === "ACCOUNT" ? ` of account ${target}` : ""),
        el("li", {}, el("b", { text: shown(String(open.orders)) }), ` open ${open.orders === 1 ? "order" : "orders"} of `,
          el("b", { text: shown(String(open.accounts)) }), ` ${open.accounts === 1 ? "account is" : "accounts are"} canceled`),
        el("li", { text: "it stays on, also over a restart, until it is released" })),
      el("label", { class: "stack" }, el("span", { text: "Why" }), why),
      el("label", { class: "stack" }, el("span", { text: `Type ${words}` }), typed),
      refusal.node,
      el("div", { class: "pair" },
        el("button", { class: "btn back", type: "button", text: "Back", on: { click: () => back() } }), button));
    for (const input of [why, typed]) input.addEventListener("input", check);
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") back();
    });
    return form;

    function isReady() {
      return typed.value === words && why.value.trim() !== "";
    }

    function check() {
      setAttr(button, "aria-disabled", isReady() ? "false" : "true");
    }

    function back() {
      box.replaceChildren(scopeForm());
      box.querySelector("button").focus();
    }

    async function act() {
      if (!isReady() || button.disabled) {
        (why.value.trim() ? typed : why).focus();
        return;
      }
      button.disabled = true;
      try {
        const told = await ask("POST", "/admin/kill", { body: { scope, target, why: why.value.trim(), clientOrderId: id } });
        happened(`Kill switch: ${scope === "ALL" ? "everybody" : target} stopped, ${told.canceled ?? told.cancel_requested ?? 0} orders canceled${silentText(told)}`);
        hurry("halts", "actions", "status", "users");
        if (scope !== "ALL") back();
      } catch (error) {
        refusal.show(error);
        button.disabled = false;
      }
    }
  }

  // --- release ---

  function releaseForm() {
    const why = el("input", { maxlength: "200", spellcheck: "false", autocomplete: "off" });
    const refusal = refusalBlock();
    const button = el("button", { class: "btn crit", text: "Let everybody trade" });
    return el("form", { on: { submit: release } },
      el("p", {}, el("b", { text: "Trading is stopped for everybody." })),
      el("p", { class: "dim", text: seen.halts.why ? `Why: ${seen.halts.why}` : "No reason was given." }),
      el("label", { class: "stack" }, el("span", { text: "Why it goes on" }), why), refusal.node, button);

    async function release(event) {
      event.preventDefault();
      if (!why.value.trim()) {
        refusal.show({ code: "WHY", message: "say why: it is kept in the record" });
        why.focus();
        return;
      }
      button.disabled = true;
      try {
        await ask("POST", "/admin/resume", { body: { why: why.value.trim() } });
        happened("Kill switch released: everybody may trade");
        hurry("halts", "actions", "status");
      } catch (error) {
        refusal.show(error);
        button.disabled = false;
      }
    }
  }
}

/** The red line under the top bar: since when, who, why. */
function paintBanner(halted) {
  const line = byId("banner");
  if (!halted) {
    if (line.dataset.by === "operate") {
      show(line, false);
      delete line.dataset.by;
    }
    return;
  }
  const stop = (seen.actions ?? []).find((each) => each.done && each.scope === "ALL" && (each.action === "KILL" || each.action === "SET_TRADING"));
  const since = stop ? ` since ${timeOrDay(milliseconds(stop.time), serverNow() ?? Date.now())}, by ${stop.user || "the daemon's owner"}` : "";
  setText(byId("banner-text"), `Trading is stopped for everybody${since}${seen.halts.why ? `: ${seen.halts.why}` : ""}`);
  line.dataset.by = "operate";
  show(line, true);
}
