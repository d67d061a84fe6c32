// Keys' API keys: the list, making one, whose secret is shown once, revoking one, and a first request
// as lines for a shell.

import { happened } from "./announce.js";
import { copy } from "./copy.js";
import { el, keyed, setText, show } from "./dom.js";
import { questionLine } from "./question.js";
import { refusalBlock } from "./refusal.js";
import { ask } from "./rest.js";
import { may, serverNow, store, watch } from "./store.js";
import { dateOf, milliseconds } from "./units.js";

const SCOPES = [["read", "orders, fills, balances"], ["trade", "place, modify, cancel"], ["admin", "what an operator may"]];
const ENDS = [["90", "in 90 days"], ["30", "in 30 days"], ["365", "in a year"], ["0", "never"]];
const DAY_NS = 86_400n * 1_000_000_000n;

/** Answers {node, read()}. */
export function keyList() {
  const count = el("span", { class: "meta" });
  const question = questionLine();
  const refusal = refusalBlock();
  const body = el("tbody");
  const empty = el("p", { class: "empty" }, el("b", { text: "No keys yet" }), "A program signs its requests with a key. Make one at the right.");
  const node = el("section", { class: "p klist", "aria-labelledby": "h-klist" },
    el("header", {}, el("h2", { id: "h-klist", text: "API keys" }), count), question.node, refusal.node,
    el("div", { class: "scroll", role: "region", "aria-label": "Your API keys", tabindex: "0" },
      el("table", { class: "t tall" },
        el("thead", {}, el("tr", {}, ...[["Name"], ["Key"], ["May"], ["From", "x1"], ["Made", "r x1"], ["Ends", "r"], ["Do", "r"]].map(([text, cls]) => el("th", { scope: "col", class: cls, text })))), body), empty));
  show(empty, false);
  return { node, read };

  async function read() {
    try {
      paint((await ask("GET", "/keys")).keys);
      refusal.clear();
    } catch (error) {
      refusal.show(error);
    }
  }

  function paint(keys) {
    setText(count, keys.length ? `${keys.length} of ${store.user?.user}` : "");
    show(empty, !keys.length);
    keyed(body, keys, (key) => key.id, row, () => {});
  }

  function row(key) {
    return el("tr", {},
      el("td", { class: "wide", title: key.name }, el("b", { text: key.name })),
      el("td", {}, el("code", { text: key.id })),
      el("td", { text: key.scopes.join(", ") }),
      el("td", { class: "x1 wide", text: key.addresses.join(", ") || "everywhere" }),
      el("td", { class: "r num dim x1", text: dateOf(milliseconds(key.created)) }),
      el("td", { class: "r num", text: key.ends ? dateOf(milliseconds(key.ends)) : "never" }),
      el("td", { class: "r" }, el("button", { class: "txt", type: "button", text: "Revoke…", "aria-label": `Revoke ${key.name}`, on: { click: () => revoke(key) } })));
  }

  function revoke(key) {
    question.ask({
      text: `Revoke ${key.name}? Programs that sign with it are refused at once, for ever.`, go: `Revoke ${key.name}`, why: "",
      act: async () => {
        await ask("DELETE", `/keys/${encodeURIComponent(key.id)}`);
        await read();
        return `Key ${key.name} revoked`;
      },
    });
  }
}

/** Answers {node, forget()}. made(): the list is another. */
export function keyForm(made) {
  const name = el("input", { maxlength: "200", spellcheck: "false", autocomplete: "off", required: true });
  const scopes = SCOPES.map(([value, what]) => {
    const box = el("input", { type: "checkbox", value });
    box.checked = value !== "admin";
    return { value, box, node: el("label", { class: "chk" }, box, ` ${value} `, el("span", { class: "dim", text: what })) };
  });
  const addresses = el("textarea", { rows: "2", spellcheck: "false", placeholder: "10.20.0.0/16" });
  const ends = el("select", {}, ...ENDS.map(([value, text]) => el("option", { value, text })));
  const refusal = refusalBlock();
  const button = el("button", { class: "go", text: "Make key" });
  const form = el("form", { class: "kform", on: { submit: make } },
    el("label", { class: "stack" }, el("span", { text: "Name" }), name),
    el("fieldset", {}, el("legend", { text: "May" }), ...scopes.map((each) => each.node)),
    el("label", { class: "stack" }, el("span", {}, "From these addresses ", el("em", { text: "one a line; none: everywhere" })), addresses),
    el("label", { class: "stack" }, el("span", { text: "Ends" }), ends), refusal.node, button);
  const secret = el("div", { class: "kform secret", hidden: true });
  const node = el("section", { class: "p knew", "aria-labelledby": "h-knew" }, el("header", {}, el("h2", { id: "h-knew", text: "New key" })), form, secret);
  watch(["user"], () => show(scopes[2].node, may("admin")));
  return { node, forget };

  async function make(event) {
    event.preventDefault();
    refusal.clear();
    const days = BigInt(ends.value);
    const now = BigInt(Math.round(serverNow() ?? Date.now())) * 1_000_000n;
    const given = addresses.value.split(/[\s,]+/).filter(Boolean);
    button.disabled = true;
    try {
      const key = await ask("POST", "/keys", {
        body: {
          name: name.value.trim(), scopes: scopes.filter((each) => each.box.checked && !each.node.hidden).map((each) => each.value),
          addresses: given.length ? given : null, ends: days ? String(now + days * DAY_NS) : "0",
        },
      });
      reveal(key);
      happened(`Key ${key.name} made`);
      made();
    } catch (error) {
      refusal.show(error);
      name.focus();
    } finally {
      button.disabled = false;
    }
  }

  /** The secret is in that one answer alone; it is gone with a press, a sign-out or the page. */
  function reveal(key) {
    const field = (label, text) => {
      const box = el("input", { readonly: true, value: text, spellcheck: "false", class: "code", on: { focus: () => box.select() } });
      return el("div", { class: "withcopy" }, el("label", { class: "stack" }, el("span", { text: label }), box),
        el("button", { class: "btn", type: "button", text: "Copy", "aria-label": `Copy ${label.toLowerCase()}`, on: { click: () => copy(text, label) } }));
    };
    secret.replaceChildren(
      el("p", { class: "wn", text: "The secret is shown once. Keep it now." }), field("Key", key.id), field("Secret", key.secret),
      el("button", { class: "go", type: "button", text: "I have kept it", on: { click: forget } }));
    show(form, false);
    show(secret, true);
    secret.querySelector("button").focus();
  }

  function forget() {
    secret.replaceChildren();
    show(secret, false);
    show(form, true);
    name.value = "";
    if (document.activeElement === document.body) name.focus();
  }
}

/** Lines for a shell: a request signed with a key. Answers {node}. */
export function firstRequest() {
  const text = el("code");
  const node = el("section", { class: "p try", "aria-labelledby": "h-try" },
    el("header", {}, el("h2", { id: "h-try", text: "First request with a key" }), el("span", { class: "grow" }),
      el("button", { class: "txt", type: "button", text: "Copy", "aria-label": "Copy the first request", on: { click: () => copy(text.textContent, "First request") } })),
    el("pre", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Lines for a shell" }, text));
  watch(["markets", "symbol", "view"], () => setText(text, lines()), { view: "keys" });
  return { node };
}

function lines() {
  const symbol = store.symbol || "BTC_USD";
  const each = store.markets.get(symbol);
  const order = JSON.stringify({ clientOrderId: "first-1", symbol, side: "BUY", price: each?.referencePrice ?? "100", quantity: each?.lotSize ?? "1" });
  return [
    "OMS_KEY=...; OMS_SECRET=...",
    `body='${order}'`,
    "now=$(date +%s%3N); nonce=$(openssl rand -hex 16)",
    "hash=$(printf %s \"$body\" | openssl dgst -sha256 -r | cut -d' ' -f1)",
    "sign=$(printf '%s\\n%s\\nPOST\\n/order\\n%s' $now $nonce $hash | openssl dgst -sha256 -hmac \"$OMS_SECRET\" -r | cut -d' ' -f1)",
    `curl -s ${location.origin}/order -H "X-Api-Key: $OMS_KEY" -H "X-Api-Time: $now" \\`,
    "  -H \"X-Api-Nonce: $nonce\" -H \"X-Api-Signature: $sign\" -H 'Content-Type: application/json' -d \"$body\"",
  ].join("\n");
}
