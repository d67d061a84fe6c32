// Operate's accounts: users with their role, what each account may do, its limits, and its halt.

import { el, keyed, setAttr, setText, show } from "./dom.js";
import { questionLine } from "./question.js";
import { hurry, seen } from "./operate_data.js";
import { refusalBlock } from "./refusal.js";
import { happened } from "./announce.js";
import { ask } from "./rest.js";
import { store, watch } from "./store.js";

// What an account may be limited in, as docs/market-rules.md has it.
const LIMITS = [
  "open_orders_max", "stop_orders_max", "amends_max", "messages_max", "messages_window_s", "position_max", "credit_max",
  "gross_max", "net_max", "restricted_symbols", "allowed_sides", "allowed_order_types", "allowed_times_in_force", "duplicate_window_s",
];
const ROLES = ["viewer", "trader", "operator"];

/** Answers {node}. */
export function accountsPane() {
  const question = questionLine();
  const filter = el("input", { type: "search", "aria-label": "Find a user", placeholder: "Find a user", spellcheck: "false", autocomplete: "off", on: { input: paint } });
  const body = el("tbody");
  const empty = el("p", { class: "empty", text: "Reading the users…" });
  const detail = el("div", { class: "detail", hidden: true });
  const node = el("div", { class: "pane" },
    question.node,
    el("div", { class: "findline" }, filter),
    detail,
    el("div", { class: "scroll", role: "region", "aria-label": "Users and accounts", tabindex: "0" },
      el("table", { class: "t" },
        el("thead", {}, el("tr", {}, ...[["User"], ["Role"], ["Accounts"], ["May", "x1"], ["Logins", "r x1"], ["Keys", "r x1"], ["Do", "r"]].map(([text, cls]) => el("th", { scope: "col", class: cls, text })))),
        body),
      empty));
  watch(["operate.users", "operate.halts"], paint, { view: "operate", every: 250 });
  return { node };

  function paint() {
    const wanted = filter.value.trim().toLowerCase();
    const users = (seen.users ?? []).filter((each) => [each.user, each.email, ...each.accounts].some((text) => text.toLowerCase().includes(wanted)));
    setText(empty, seen.users ? "No user has such a name." : "Reading the users…");
    show(empty, !users.length);
    keyed(body, users.slice(0, 200), (each) => each.user, row, patch);
  }

  function row({ user }) {
    const parts = {
      role: el("select", { "aria-label": `Role of ${user}`, on: { change: () => setRole(user, parts.role) } }, ...ROLES.map((text) => el("option", { text }))),
      accounts: el("td", { class: "wide" }), may: el("td", { class: "x1" }), logins: el("td", { class: "r num x1" }), keys: el("td", { class: "r num x1" }),
      limits: el("button", { class: "txt", type: "button", text: "Limits", "aria-label": `Limits of ${user}`, on: { click: () => openLimits(user) } }),
      halt: el("button", { class: "txt", type: "button", on: { click: () => haltOrResume(user) } }),
      lock: el("button", { class: "txt", type: "button", on: { click: () => lockOrUnlock(user) } }),
    };
    const line = el("tr", {}, el("td", {}, el("b", { text: user })), el("td", {}, el("span", { class: "mini" }, parts.role)), parts.accounts, parts.may, parts.logins, parts.keys,
      el("td", { class: "r" }, parts.limits, parts.halt, parts.lock));
    line.parts = parts;
    return line;
  }

  function patch({ parts }, each) {
    if (document.activeElement !== parts.role) parts.role.value = each.role;
    parts.role.disabled = each.user === store.user?.user; // nobody takes their own right away by a slip
    setText(parts.accounts, each.accounts.join(", ") || "–");
    const state = stateOf(each);
    setText(parts.may, each.locked ? "locked" : state === "ACTIVE" ? "trades" : state.toLowerCase());
    parts.may.classList.toggle("wn", Boolean(each.locked) || state !== "ACTIVE");
    setText(parts.logins, each.logins);
    setText(parts.keys, each.keys);
    setText(parts.halt, state === "ACTIVE" ? "Halt…" : "Resume…");
    setAttr(parts.halt, "aria-label", `${state === "ACTIVE" ? "Halt" : "Resume"} ${each.user}`);
    show(parts.halt, each.accounts.length > 0);
    show(parts.limits, each.accounts.length > 0);
    setText(parts.lock, each.locked ? "Unlock…" : "Lock…");
    setAttr(parts.lock, "aria-label", `${each.locked ? "Unlock" : "Lock"} ${each.user}`);
    parts.lock.disabled = each.user === store.user?.user;
  }

  function stateOf(user) {
    return user.accounts.map((account) => seen.halts?.accounts[account]).find(Boolean) ?? "ACTIVE";
  }

  function userOf(name) {
    return seen.users.find((each) => each.user === name);
  }

  function haltOrResume(name) {
    const user = userOf(name);
    const goesOn = stateOf(user) !== "ACTIVE";
    const accounts = user.accounts.join(", ");
    question.ask({
      text: goesOn ? `Let ${accounts} trade?` : `Halt ${accounts}? New orders are refused; open ones leave the book until it goes on.`,
      go: goesOn ? `Resume ${name}` : `Halt ${name}`,
      act: async (why) => {
        for (const target of user.accounts) await ask("POST", goesOn ? "/admin/resume" : "/admin/halt", { body: { scope: "ACCOUNT", target, why } });
        hurry("halts", "actions");
        return `${name} ${goesOn ? "resumed" : "halted"}`;
      },
    });
  }

  function lockOrUnlock(name) {
    const locked = !userOf(name).locked;
    question.ask({
      text: locked ? `Lock ${name}? Every login ends now, keys rest; open orders stay.` : `Unlock ${name}?`,
      go: locked ? `Lock ${name}` : `Unlock ${name}`,
      act: async (why) => {
        await ask("PATCH", `/admin/users/${encodeURIComponent(name)}`, { body: { locked, why } });
        hurry("users", "actions");
        return `${name} ${locked ? "locked" : "unlocked"}`;
      },
    });
  }

  function setRole(name, select) {
    const role = select.value;
    select.value = userOf(name).role;
    if (role === select.value) return;
    question.ask({
      text: `Make ${name} a ${role}? Open sockets of ${name} close.`, go: `Make ${role}`, why: "",
      act: async () => {
        await ask("PATCH", `/admin/users/${encodeURIComponent(name)}`, { body: { role } });
        hurry("users", "actions");
        return `${name} is ${role}`;
      },
    });
  }

  // --- limits ---

  async function openLimits(name) {
    const [account] = userOf(name).accounts;
    const list = el("dl", { class: "limits" });
    const what = el("select", { "aria-label": "Limit" }, ...LIMITS.map((text) => el("option", { text })));
    const value = el("input", { "aria-label": "Value", placeholder: "value; empty: as configured", maxlength: "200", spellcheck: "false", autocomplete: "off" });
    const why = el("input", { "aria-label": "Why", placeholder: "Why", maxlength: "200", spellcheck: "false", autocomplete: "off" });
    const refusal = refusalBlock();
    const close = el("button", { class: "btn", type: "button", text: "Close", on: { click: () => show(detail, false) } });
    detail.replaceChildren(el("h3", { text: `Limits of account ${account}` }), list,
      el("form", { on: { submit: set } }, what, value, why, el("button", { class: "btn", text: "Set" }), close), refusal.node);
    show(detail, true);
    what.focus();
    await read();

    async function read() {
      try {
        const told = await ask("GET", "/admin/limits", { query: { account } });
        const rows = Object.entries(told.limits);
        if (told.tier) rows.unshift(["tier", told.tier]);
        if (told.groups.length) rows.unshift(["groups", told.groups.join(", ")]);
        list.replaceChildren(...(rows.length ? rows.flatMap(([key, text]) => [el("dt", { text: key }), el("dd", { class: "num", text })]) : [el("dt", { text: "nothing is limited" })]));
      } catch (error) {
        refusal.show(error);
      }
    }

    async function set(event) {
      event.preventDefault();
      refusal.clear();
      try {
        await ask("POST", "/admin/limits", { body: { scope: "ACCOUNT", target: account, name: what.value, value: value.value.trim(), why: why.value.trim() } });
        happened(`Limit ${what.value} of ${account}: ${value.value.trim() || "as configured"}`);
        hurry("actions");
        await read();
      } catch (error) {
        refusal.show(error);
      }
    }
  }
}
