// Operate: the view of operators. It shows how the exchange is and has been, and does what an
// operator may: halt, resume, kill switch, phases, limits, users.

import { choice, tabs } from "./choice.js";
import { byId, el, keyed, setText, show, staleTag } from "./dom.js";
import { accountsPane } from "./operate_accounts.js";
import { drawAnswers, drawCourse, drawPercentiles, shownMs } from "./operate_charts.js";
import { seen, startAsking } from "./operate_data.js";
import { dayPanel } from "./operate_day.js";
import { killPanel } from "./operate_kill.js";
import { marketsPanel } from "./operate_markets.js";
import { recordTable, storyPane } from "./operate_record.js";
import { parameter } from "./route.js";
import { changed, may, watch } from "./store.js";
import { shown } from "./units.js";

const HOPS = ["intake", "wait", "venue", "disk", "publish", "total"];
const STEP_S = 5; // between two rows of figures

/** Build the view; called once, when it is first shown. */
export function open(root) {
  const day = dayPanel();
  const vitals = vitalsRow();
  const away = el("section", { class: "p away", "aria-labelledby": "h-away" },
    el("header", {}, el("h2", { id: "h-away", text: "Operate" })),
    el("p", { class: "empty" }, el("b", { text: "For operators" }), "Sign in as one; the market stays public."));
  const panels = [day.node, vitals.node, latencyPanel(), hopsPanel(), killPanel().node, bottomPanel(), refusedPanel(), marketsPanel().node];
  root.append(away, ...panels);
  watch(["user", "view"], () => {
    show(away, !may("admin"));
    for (const panel of panels) show(panel, may("admin"));
    if (!may("admin") && byId("banner").dataset.by === "operate") show(byId("banner"), false);
  });
  watch(["operate.calendar", "beat"], day.paint, { view: "operate", every: 1000 });
  watch(["view", "operate.status", "operate.failure"], paintHead, { view: "operate" });
  new ResizeObserver(() => changed("operate.size")).observe(root);
  new MutationObserver(() => changed("operate.size")).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  startAsking();
}

// --- the top bar ---

function paintHead() {
  const head = byId("view-head");
  const { status, failure } = seen;
  const figures = status
    ? [["Health", status.health], ["Journal", shown(String(status.journal_seq))], ["Open orders", shown(String(status.open_orders))],
       ["Link", status.link], ["Store", status.store], ["Log", `${Math.round(status.store_log_bytes / 1e6)} MB`]]
    : [];
  head.dataset.of = "operate";
  if (!head.querySelector(".tick.of-operate")) head.replaceChildren(el("b", { text: "Exchange" }), el("dl", { class: "tick of-operate", "aria-label": "Exchange" }), el("span", { class: "tag failure", hidden: true }));
  keyed(head.querySelector("dl"), may("admin") ? figures : [], ([name]) => name,
    ([name]) => el("div", {}, el("dt", { text: name }), el("dd", { class: "num" })),
    (node, [, text]) => setText(node.lastChild, text));
  const tag = head.querySelector(".failure");
  setText(tag, failure ? `not answered: ${failure}` : "");
  show(tag, Boolean(failure));
}

// --- vitals ---

function vitalsRow() {
  const cards = [
    card("Queue", (row) => row.waiting + row.inbox, () => [seen.status.waiting + seen.status.inbox, "waiting", `${seen.status.inbox} for a turn; most held ${shown(String(seen.status.waiting_peak))}`]),
    card("Throttle", (row) => row.sends, () => {
      const { policy, sends_max: most, in_use: used, free } = seen.status.throttle;
      return policy === "off" ? ["off", "", "every order goes at once"] : [used, `/ ${most} a second`, `${policy.replace("_", " ")}; ${free} permits left`];
    }),
    card("Entries", (row) => row.entries / STEP_S, (row) => [row ? rate(row.entries) : "–", "a second", `${row ? rate(row.reports) : "–"} reports a second; ${shown(String(seen.status.turns))} turns`]),
    card("Commit", (row) => Number(row.hops.disk.p50 ?? 0), () => [shownMs(seen.minute?.disk.p50), "ms p50", `p99 ${shownMs(seen.minute?.disk.p99)} ms; last minute`]),
    card("Sockets", (row) => row.sockets, (row) => [row ? row.sockets : "–", "open", `${shown(String(seen.status.open_orders))} open ${seen.status.open_orders === 1 ? "order" : "orders"}`]),
    card("Refused", (row) => row.rejects / STEP_S, (row) => [row ? rate(row.rejects) : "–", "a second", leading(seen.status.rejects)]),
  ];
  watch(["operate.status", "operate.vitals", "operate.size", "view"], () => {
    if (!seen.status) return;
    const row = seen.rows?.at(-1);
    for (const each of cards) each.paint(row);
  }, { view: "operate", every: 250 });
  return { node: el("section", { class: "vitals", "aria-label": "Vitals" }, ...cards.map((each) => each.node)) };
}

function card(title, course, figures) {
  const value = el("b", { class: "num", text: "–" });
  const unit = el("span", { class: "dim" });
  const note = el("p", { class: "meta" });
  const canvas = el("canvas", { "aria-hidden": "true" });
  return {
    node: el("div", { class: "vital" }, el("h2", { text: title }), el("p", { class: "figure" }, value, " ", unit), note, el("div", { class: "canvas" }, canvas)),
    paint(row) {
      const [figure, of, more] = figures(row);
      setText(value, typeof figure === "number" ? shown(String(figure)) : figure);
      setText(unit, of);
      setText(note, more);
      drawCourse(canvas, (seen.rows ?? []).slice(-180).map(course));
    },
  };
}

function rate(count) {
  const each = count / STEP_S;
  return each >= 10 || Number.isInteger(each) ? String(Math.round(each)) : each.toFixed(1);
}

function leading(rejects) {
  const [first] = Object.entries(rejects).sort((a, b) => b[1] - a[1]);
  return first ? `${first[0]} leads since the start` : "nothing since the start";
}

// --- latency ---

function latencyPanel() {
  const hop = choice("Hop", HOPS.map((each) => [each, each]), () => changed("operate.size"), { value: "total" });
  const span = choice("Time", [["5", "5 min"], ["15", "15 min"], ["60", "1 h"]], () => changed("operate.size"), { value: "15" });
  const canvas = el("canvas", { role: "img", "aria-label": "Latency percentiles over time" });
  const over = el("p", { class: "over" });
  watch(["operate.vitals", "operate.size", "view"], () => {
    drawPercentiles(canvas, seen.rows ?? [], hop.value, Number(span.value));
    const isEmpty = !(seen.rows ?? []).some((row) => row.hops[hop.value].count);
    setText(over, seen.rows ? "Nothing was measured in the last hour." : "Reading the figures…");
    show(over, isEmpty);
  }, { view: "operate" });
  return el("section", { class: "p lat", "aria-labelledby": "h-lat" },
    el("header", {}, el("h2", { id: "h-lat", text: "Latency, call to durable answer" }), staleTag(), hop.node, el("span", { class: "grow" }), span.node),
    el("div", { class: "canvas" }, canvas, over));
}

function hopsPanel() {
  const body = el("tbody");
  const canvas = el("canvas", { role: "img", "aria-label": "Answers of the last minute by latency" });
  watch(["operate.vitals", "operate.size", "view"], () => {
    keyed(body, HOPS, (name) => name,
      (name) => el("tr", { class: name === "total" ? "sum" : null }, el("th", { scope: "row", text: name }), ...[0, 1, 2, 3, 4].map(() => el("td", { class: "r num", text: "–" }))),
      (row, name) => ["p50", "p90", "p99", "p999", "max"].forEach((field, n) => setText(row.children[n + 1], shownMs(seen.minute?.[name][field]))));
    drawAnswers(canvas, seen.answers);
  }, { view: "operate" });
  return el("section", { class: "p hops", "aria-labelledby": "h-hops" },
    el("header", {}, el("h2", { id: "h-hops", text: "By hop, last minute" }), staleTag(), el("span", { class: "grow" }), el("span", { class: "meta", text: "ms" })),
    el("div", { class: "scroll", role: "region", "aria-label": "Latency by hop", tabindex: "0" },
      el("table", { class: "t" }, el("thead", {}, el("tr", {}, el("th", { scope: "col", text: "Hop" }), ...["p50", "p90", "p99", "p99.9", "max"].map((text) => el("th", { scope: "col", class: "r", text })))), body),
      el("p", { class: "meta caption", text: "answers by latency, up to (ms)" }),
      el("div", { class: "canvas hist" }, canvas)));
}

// --- record, accounts, story ---

function bottomPanel() {
  const panel = el("div", { id: "record-panel", role: "tabpanel", class: "panes" });
  const story = storyPane();
  const accounts = accountsPane();
  const record = recordTable(({ seq, group }) => {
    choose("story");
    story.tell(seq, group);
  });
  const panes = { record: record.node, accounts: accounts.node, story: story.node };
  const list = tabs("Record", [["record", "Operators"], ["accounts", "Accounts"], ["story", "Explain"]], panel, choose);
  panel.append(...Object.values(panes));
  choose("record");
  if (parameter("order")) {
    choose("story");
    story.tell(parameter("order"));
  }
  return el("section", { class: "p audit", "aria-labelledby": "h-record" },
    el("header", {}, el("h2", { id: "h-record", class: "vh", text: "Record, accounts and orders" }), list.node, el("span", { class: "grow" }), record.who), panel);

  function choose(name) {
    list.set(name);
    for (const [each, node] of Object.entries(panes)) show(node, each === name);
    show(record.who, name === "record");
  }
}

// --- refusals ---

function refusedPanel() {
  const total = el("span", { class: "meta num" });
  const body = el("tbody");
  const empty = el("p", { class: "empty", text: "Nothing was refused since the start." });
  watch(["operate.status"], () => {
    const rows = Object.entries(seen.status?.rejects ?? {}).sort((a, b) => b[1] - a[1]);
    const all = rows.reduce((sum, [, count]) => sum + count, 0);
    setText(total, all ? shown(String(all)) : "");
    show(empty, !rows.length);
    keyed(body, rows, ([code]) => code,
      ([code]) => el("tr", {}, el("th", { scope: "row" }, el("code", { text: code })), el("td", {}, el("span", { class: "share" }, el("i"))), el("td", { class: "r num" })),
      (row, [, count]) => {
        row.querySelector("i").style.width = `${Math.max(1, (count / rows[0][1]) * 100)}%`;
        setText(row.lastChild, shown(String(count)));
      });
  }, { view: "operate", every: 1000 });
  return el("section", { class: "p rej", "aria-labelledby": "h-refused" },
    el("header", {}, el("h2", { id: "h-refused", text: "Refused since the start" }), staleTag(), el("span", { class: "grow" }), total),
    el("div", { class: "scroll", role: "region", "aria-label": "Refusals by reason", tabindex: "0" },
      el("table", { class: "t" }, el("thead", { class: "vh" }, el("tr", {}, ...["Reason", "Share", "Count"].map((text) => el("th", { scope: "col", text })))), body), empty));
}
