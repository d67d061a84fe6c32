// Operate's markets: the phase of each, halt and resume, and a phase by hand.

import { el, icon, keyed, setIcon, setText } from "./dom.js";
import { questionLine } from "./question.js";
import { hurry, seen } from "./operate_data.js";
import { ask } from "./rest.js";
import { store, watch } from "./store.js";

export const PHASES = {
  CONTINUOUS: ["g-dot", "Continuous"], PRE_OPEN: ["g-half", "Pre-open"], OPENING_AUCTION: ["g-diamond", "Opening auction"],
  CLOSING_AUCTION: ["g-diamond", "Closing auction"], REOPENING_AUCTION: ["g-diamond", "Reopening auction"],
  HALTED: ["g-square", "Halted"], CLOSED: ["g-ring", "Closed"],
};
const FORCED = ["PRE_OPEN", "OPENING_AUCTION", "CONTINUOUS", "HALTED"];

/** Answers {node}. */
export function marketsPanel() {
  const count = el("span", { class: "meta" });
  const question = questionLine();
  const body = el("tbody");
  const node = el("section", { class: "p phases", "aria-labelledby": "h-phases" },
    el("header", {}, el("h2", { id: "h-phases", text: "Markets" }), el("span", { class: "grow" }), count),
    question.node,
    el("div", { class: "scroll", role: "region", "aria-label": "Market phases", tabindex: "0" },
      el("table", { class: "t" },
        el("thead", {}, el("tr", {}, ...["Market", "Phase"].map((text) => el("th", { scope: "col", text })),
          el("th", { scope: "col", class: "r", text: "Do" }))),
        body)));
  watch(["markets", "operate.halts"], paint, { view: "operate", every: 250 });
  return { node };

  function paint() {
    const markets = [...store.markets.values()];
    const halted = markets.filter(isHalted).length;
    setText(count, `${markets.length} markets${halted ? `, ${halted} halted` : ""}`);
    keyed(body, markets, (each) => each.symbol, row, (line, each) => {
      const [name, word] = PHASES[each.phase] ?? ["g-ring", each.phase ?? "–"];
      const reducing = seen.halts?.symbols[each.symbol] === "REDUCING";
      setIcon(line.parts.mark, name);
      line.parts.mark.classList.toggle("wn", name === "g-square" || name === "g-diamond");
      setText(line.parts.word, reducing ? `${word}, reducing` : word);
      setText(line.parts.halt, isHalted(each) || reducing ? "Resume…" : "Halt…");
    });
  }

  function row({ symbol }) {
    const mark = icon("g-dot");
    const word = el("span");
    const halt = el("button", { class: "txt", type: "button", "aria-label": `Halt or resume ${symbol}`, on: { click: () => haltOrResume(symbol) } });
    const phase = el("select", { "aria-label": `Phase of ${symbol} by hand`, on: { change: () => force(symbol, phase) } },
      el("option", { value: "", text: "Phase…" }), ...FORCED.map((value) => el("option", { value, text: PHASES[value][1] })));
    const line = el("tr", {}, el("td", {}, el("b", { text: symbol })), el("td", {}, el("span", { class: "state" }, mark, word)),
      el("td", { class: "r" }, el("span", { class: "mini" }, phase, halt)));
    line.parts = { mark, word, halt };
    return line;
  }

  function haltOrResume(symbol) {
    const each = store.markets.get(symbol);
    const goesOn = isHalted(each) || seen.halts?.symbols[symbol] === "REDUCING";
    question.ask({
      text: goesOn ? `Let ${symbol} trade? It comes back by an auction, if it has one.` : `Halt ${symbol}? Nothing trades; open orders stay and can be canceled.`,
      go: goesOn ? `Resume ${symbol}` : `Halt ${symbol}`,
      act: async (why) => {
        await ask("POST", goesOn ? "/admin/resume" : "/admin/halt", { body: { scope: "SYMBOL", target: symbol, why } });
        hurry("halts", "actions");
        return `${symbol} ${goesOn ? "resumed" : "halted"}`;
      },
    });
  }

  function force(symbol, select) {
    const phase = select.value;
    select.value = "";
    if (!phase) return;
    question.ask({
      text: `${PHASES[phase][1]} for ${symbol}? It stays until the calendar's next step, or until it is set again.`,
      go: `Set ${symbol}`,
      act: async (why) => {
        await ask("POST", "/admin/phase", { body: { symbol, phase, why } });
        hurry("actions");
        return `${symbol} set to ${PHASES[phase][1].toLowerCase()}`;
      },
    });
  }
}

function isHalted(market) {
  return market?.phase === "HALTED" || seen.halts?.symbols[market?.symbol] === "HALTED";
}
