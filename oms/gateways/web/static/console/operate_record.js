// Operate's record: what operators did, newest first, each with who, why and its answer; and the
// story of any order or command.

import { el, keyed, setText, show } from "./dom.js";
import { askOlder, nameOfAction, seen } from "./operate_data.js";
import { refusalBlock } from "./refusal.js";
import { ask } from "./rest.js";
import { serverNow, store, watch } from "./store.js";
import { milliseconds, shown, timeOfDay, timeOrDay } from "./units.js";

const COLUMNS = [["Time"], ["Who"], ["Action"], ["Target"], ["Setting", "x2"], ["Why", "x1"], ["Answer"], ["Journal", "r"]];

/** Answers {node}: the table of actions. explain(action): tell the story of one. */
export function recordTable(explain) {
  const who = el("select", { "aria-label": "Who", on: { change: paint } }, el("option", { value: "", text: "everybody" }));
  const older = el("button", { class: "btn", type: "button", text: "Older", hidden: true, on: { click: more } });
  const empty = el("p", { class: "empty" });
  const body = el("tbody");
  const node = el("div", { class: "pane" },
    el("div", { class: "scroll", role: "region", "aria-label": "What operators did", tabindex: "0" },
      el("table", { class: "t" },
        el("thead", {}, el("tr", {}, ...COLUMNS.map(([text, cls]) => el("th", { scope: "col", class: cls, text })))), body),
      empty, older));
  watch(["operate.actions"], paint, { view: "operate" });
  return { node, who: el("label", { class: "mini" }, "who ", who) };

  function paint() {
    const names = [...new Set((seen.actions ?? []).map((each) => each.user))].filter(Boolean).sort();
    const known = new Set([...who.options].map((option) => option.value));
    for (const name of names) if (!known.has(name)) who.append(el("option", { value: name, text: name }));
    const rows = (seen.actions ?? []).filter((each) => !who.value || each.user === who.value);
    setText(empty, rows.length ? "" : seen.actions ? "No operator has done anything yet." : "Reading the record…");
    show(empty, !rows.length);
    show(older, Boolean(seen.next));
    keyed(body, rows, nameOfAction, row, () => {});
  }

  function row(each) {
    const at = milliseconds(each.time);
    const setting = [each.name, each.value].filter(Boolean).join(" = ");
    return el("tr", {},
      el("td", { class: "num dim", title: new Date(at).toISOString(), text: timeOrDay(at, serverNow() ?? Date.now()) }),
      el("td", { text: each.user || each.gateway || (each.action ? "library" : "–") }),
      el("td", {}, el("b", { text: each.action ? each.action.toLowerCase().replaceAll("_", " ") : "refused" })),
      el("td", { text: each.target ? `${each.scope.toLowerCase()} ${each.target}` : each.scope === "ALL" ? "everybody" : "–" }),
      el("td", { class: "x2 wide", title: setting, text: setting || "–" }),
      el("td", { class: "x1 wide", title: each.why, text: each.why || "–" }),
      el("td", { class: "wide", title: each.text }, each.done ? each.text || "done" : el("code", { class: "cr", text: each.text.split(":")[0] })),
      el("td", { class: "r" }, el("button", { class: "txt num", type: "button", text: `${each.group ?? ""} ${shown(each.seq)}`.trim(), "aria-label": `Explain journal entry ${nameOfAction(each)}`, on: { click: () => explain(each) } })));
  }

  async function more() {
    older.disabled = true;
    try {
      await askOlder();
    } finally {
      older.disabled = false;
    }
  }
}

/** Answers {node, tell(name, group)}: a form that names an order, and its story. */
export function storyPane() {
  const named = el("input", { id: "story-id", spellcheck: "false", autocomplete: "off", maxlength: "64", placeholder: "17, 9-2 or o-000127" });
  const account = el("input", { spellcheck: "false", autocomplete: "off", maxlength: "64" });
  const group = el("select");
  const ofGroup = el("label", { class: "stack", hidden: true }, el("span", { text: "Group of markets" }), group);
  const refusal = refusalBlock();
  const heading = el("h3", { tabindex: "-1" });
  const body = el("tbody");
  const ending = el("p", { class: "ending" });
  const table = el("table", { class: "t story" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col", text: "Time, UTC" }), el("th", { scope: "col", class: "r", text: "Journal" }), el("th", { scope: "col", text: "What happened" }))), body);
  const told = el("div", { hidden: true }, heading, table, ending);
  const node = el("div", { class: "pane" },
    el("form", { class: "storyform", on: { submit } },
      el("label", { class: "stack" }, el("span", {}, "Order ", el("em", { text: "order id, execution id or client order id" })), named),
      el("label", { class: "stack" }, el("span", {}, "Account ", el("em", { text: "of a client order id" })), account), ofGroup,
      el("button", { class: "btn", text: "Explain" })),
    refusal.node,
    el("div", { class: "scroll", role: "region", "aria-label": "The story of one order", tabindex: "0" }, told,
      el("p", { class: "empty", id: "story-empty", text: "What happened to one order and why, from what is on disk." })));
  watch(["groups"], () => {
    const several = store.groups.length > 1 ? store.groups : [];
    group.replaceChildren(el("option", { value: "", text: "all" }), ...several.map((name) => el("option", { value: name, text: name })));
    show(ofGroup, several.length > 0);
  });
  return { node, tell };

  function tell(name, itsGroup = "") {
    named.value = name;
    account.value = "";
    group.value = itsGroup;
    return submit();
  }

  async function submit(event) {
    event?.preventDefault();
    const text = named.value.trim();
    refusal.clear();
    const query = /^\d+$/.test(text) ? { orderId: text } : /^\d+-\d+$/.test(text) ? { executionId: text } : { clientOrderId: text, account: account.value.trim() || null };
    try {
      paint(await ask("GET", "/admin/explain", { query: { ...query, group: group.value || null } }));
    } catch (error) {
      refusal.show(error);
    }
  }

  function paint(story) {
    setText(heading, story.heading);
    setText(ending, story.ending);
    let before = "";
    body.replaceChildren(...story.lines.map((line) => {
      const at = milliseconds(line.time);
      const stamp = `${line.time} ${line.seq}`;
      const isSame = stamp === before;
      before = stamp;
      return el("tr", {},
        el("td", { class: "num dim", title: new Date(at).toISOString(), text: isSame ? "" : timeOfDay(at, { fine: true }) }),
        el("td", { class: "r num dim", text: isSame ? "" : shown(line.seq) }),
        el("td", { class: "words", text: line.text }));
    }));
    show(told, true);
    show(node.querySelector("#story-empty"), false);
    heading.focus({ preventScroll: true });
  }
}
