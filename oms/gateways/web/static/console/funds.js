// Funds: what the account owns, what moved it, and moving it: pay in, pay out, to another account.

import { happened } from "./announce.js";
import { choice } from "./choice.js";
import { byId, el, keyed, setAttr, setNumber, setText, show } from "./dom.js";
import { listing, pages } from "./history.js";
import { makeId } from "./own.js";
import { plain } from "./order.js";
import { refusalBlock } from "./refusal.js";
import { ask } from "./rest.js";
import { may, serverNow, store, watch } from "./store.js";
import { milliseconds, shown, timeOrDay } from "./units.js";

const MOVES = [["deposit", "Pay in"], ["withdraw", "Pay out"], ["transfer", "Transfer"]];
const KINDS = { TRADE: "trade", FEE: "fee", TRADE_BUSTED: "trade busted", TRADE_CORRECTED: "trade corrected", DEPOSIT: "paid in", WITHDRAW: "paid out", TRANSFER: "transfer" };

/** The panel of balances, with the form that moves money. */
export function startFunds() {
  const section = byId("balances");
  const table = balancesTable();
  const mover = moveForm();
  const toggle = el("button", { class: "txt", type: "button", "aria-expanded": "false", text: "Move…", on: { click: () => mover.open(null, toggle) } });
  section.querySelector("header").append(toggle);
  section.append(mover.node, el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Balances by asset" }, table.node));
  watch(["balances", "user"], () => {
    table.paint();
    show(toggle, may("trade"));
    if (!may("trade")) show(mover.node, false);
  }, { view: "trade" });
}

/** What the account owns: {node, paint()}. */
export function balancesTable() {
  const list = listing("Balances", [["Asset"], ["Available", "r"], ["Reserved", "r"]], { cls: "of-balances", empty: "Nothing is owned", hint: "Money that is paid in comes here." });
  return {
    node: list.node,
    paint() {
      const rows = [...store.balances.values()].sort((a, b) => (a.asset < b.asset ? -1 : 1));
      keyed(list.body, rows, (each) => each.asset, balanceRow, patchBalance);
      if (store.user) list.state(rows.length, store.isBalancesKnown);
      else list.state(0, true, { code: "Signed out", words: "Your balances come here." });
    },
  };
}

function balanceRow() {
  return el("tr", {}, el("td"), el("td", { class: "r" }), el("td", { class: "r" }));
}

/** Where there is no room for a third column, what is reserved stands below what is available. */
function patchBalance(row, each) {
  const reserved = /^0(\.0+)?$/.test(each.reserved) ? "0" : shown(each.reserved, 2);
  setText(row.children[0], each.asset);
  setNumber(row.children[1], shown(each.available, 2));
  setAttr(row.children[1], "data-under", reserved === "0" ? null : `${reserved} reserved`);
  setNumber(row.children[2], reserved);
}

/** What moved the account's money, newest first: {node, paint()}. */
export function moneyTable() {
  const list = listing("Money movements", [["Time"], ["What"], ["Amount", "r"], ["Asset"], ["Of", "x1"]], { empty: "Nothing moved yet", hint: "Trades, fees and transfers are listed here." });
  const past = pages("/ledger", () => ({ account: store.account }), (told) => told.entries, nameOfMovement);
  const mover = moveForm();
  const open = el("button", { class: "txt", type: "button", text: "Pay in, pay out, transfer…", on: { click: () => mover.open(null, open) } });
  list.node.prepend(el("p", { class: "above" }, open), mover.node);
  list.more.addEventListener("click", () => past.older());
  watch(["balances"], () => {
    past.isDue = true;
  });
  return {
    node: list.node,
    paint() {
      show(open, may("trade"));
      past.refresh(store.account);
      keyed(list.body, past.rows, nameOfMovement, movementRow, patchMovement);
      list.state(past.rows.length, past.isKnown, past.error);
      show(list.more, Boolean(past.next));
    },
  };
}

function nameOfMovement(movement) {
  return `${movement.group ?? ""} ${movement.executionId} ${movement.asset} ${movement.kind} ${movement.orderId} ${movement.amount}`;
}

function movementRow() {
  return el("tr", {}, el("td", { class: "dim num" }), el("td"), el("td", { class: "r" }), el("td"), el("td", { class: "x1 dim" }));
}

function patchMovement(row, movement) {
  const [time, what, amount, asset, of] = row.children;
  const now = serverNow();
  setText(time, now === null ? "" : timeOrDay(milliseconds(movement.time), now));
  setText(what, KINDS[movement.kind] ?? movement.kind.toLowerCase());
  setNumber(amount, shown(movement.amount, 2, { sign: true }));
  setText(asset, movement.asset);
  setText(of, movement.otherAccount ? `with ${movement.otherAccount}` : [movement.symbol, movement.orderId && `order ${movement.orderId}`].filter(Boolean).join(", "));
}

/** The form that moves money, closed until open(asset, opener). One id for each attempt: the same again
 * moves nothing again, so an unknown outcome may be sent again. */
function moveForm() {
  let kind = "deposit";
  let id = "";
  let opener = null;
  let isBusy = false;
  const kinds = choice("Movement", MOVES, (value) => {
    kind = value;
    id = "";
    show(to, kind === "transfer");
  }, { cls: "seg fill" });
  const asset = el("select");
  const amount = el("input", { inputmode: "decimal", autocomplete: "off", on: { input: () => (id = "") } });
  const toAccount = el("input", { autocomplete: "off", spellcheck: "false", on: { input: () => (id = "") } });
  const label = (text, input) => el("label", { class: "stack" }, el("span", { text }), input);
  const to = el("div", { hidden: true }, label("To account", toAccount));
  const refusal = refusalBlock();
  const button = el("button", { class: "btn", type: "submit", text: "Do it" });
  const node = el("form", { class: "mover", hidden: true, novalidate: true, on: { submit, keydown: (event) => event.key === "Escape" && close() } },
    kinds.node, el("div", { class: "two" }, label("Asset", asset), label("Amount", amount)), to,
    el("p", { class: "ends" }, el("button", { class: "btn", type: "button", text: "Close", on: { click: close } }), button), refusal.node);
  return { node, open };

  function open(which, from) {
    if (!node.hidden) return close();
    opener = from;
    const assets = new Set([...store.balances.keys(), ...[...store.markets.values()].flatMap((each) => [each.base, each.quote])]);
    asset.replaceChildren(...[...assets].filter(Boolean).sort().map((each) => el("option", { text: each })));
    if (which) asset.value = which;
    refusal.clear();
    show(node, true);
    setAttr(opener, "aria-expanded", "true");
    return amount.focus();
  }

  function close() {
    show(node, false);
    setAttr(opener, "aria-expanded", "false");
    opener.focus();
  }

  async function submit(event) {
    event.preventDefault();
    if (isBusy) return;
    if (!plain(amount.value)) {
      amount.focus();
      return;
    }
    isBusy = true;
    id ||= makeId("f");
    try {
      const body = { asset: asset.value, amount: plain(amount.value), account: store.account, clientOrderId: id };
      if (kind === "transfer") body.toAccount = toAccount.value.trim();
      await ask("POST", `/balance/${kind}`, { body });
      const words = `${MOVES.find(([each]) => each === kind)[1]}: ${shown(body.amount)} ${body.asset}, done`;
      refusal.done(words);
      happened(words);
      id = "";
      amount.value = "";
    } catch (error) {
      if (error.isUnknown) refusal.show({ code: "UNKNOWN", number: error.status, words: "no answer came: send the same again, it is done once" });
      else {
        refusal.show(error);
        id = "";
      }
    } finally {
      isBusy = false;
    }
  }
}
