// Operate's day: the sessions of the calendar from midnight to midnight UTC, their phases, and now.

import { el, keyed, setAttr, setClass, setText } from "./dom.js";
import { seen } from "./operate_data.js";
import { serverNow } from "./store.js";
import { dateOf, milliseconds, span, timeOfDay } from "./units.js";

const DAY_MS = 86_400_000;
const WORDS = {
  PRE_OPEN: "pre-open", OPENING_AUCTION: "auction", CONTINUOUS: "continuous", CLOSING_AUCTION: "auction",
};

/** Answers {node, paint()}. */
export function dayPanel() {
  const head = el("span", { class: "meta" });
  const next = el("span", { class: "meta", id: "next-change" });
  const bar = el("div", { class: "daybar", role: "img", "aria-label": "Phases of the day" });
  const now = el("i", { class: "now" });
  const hours = el("div", { class: "hours num", "aria-hidden": "true" },
    ...Array.from({ length: 13 }, (_, n) => el("span", { text: String(2 * n).padStart(2, "0") })));
  const node = el("section", { class: "p day", "aria-labelledby": "h-day" },
    el("header", {}, el("h2", { id: "h-day", text: "Session" }), head, el("span", { class: "grow" }), next),
    el("div", { class: "daybox" }, bar, hours, now));
  return { node, paint };

  function paint() {
    const at = serverNow();
    if (at === null || !seen.calendar) {
      setText(head, "Reading the calendar…");
      return;
    }
    const midnight = Math.floor(at / DAY_MS) * DAY_MS;
    const spans = spansOf(seen.calendar.windows, midnight);
    setText(head, `${dateOf(at)}, ${seen.calendar.alwaysOpen ? "always open" : `calendar in ${seen.calendar.zone}`}; times in UTC`);
    setText(next, nextChange(seen.calendar, at));
    keyed(bar, spans, (each) => String(each.from), () => el("span", {}), (box, each) => {
      box.style.left = `${(each.from / DAY_MS) * 100}%`;
      box.style.width = `${((each.to - each.from) / DAY_MS) * 100}%`;
      box.className = `phase-${each.phase.toLowerCase().replace("_", "-")}`;
      setText(box, each.to - each.from > DAY_MS / 12 ? WORDS[each.phase] : "");
    });
    setAttr(bar, "aria-label", spans.length ? spans.map(said).join("; ") : "closed all day");
    now.style.left = `${((at - midnight) / DAY_MS) * 100}%`;
    setClass(bar, "none", !spans.length);
  }
}

/** The phases of the day: {phase, from, to} in milliseconds since midnight. */
function spansOf(windows, midnight) {
  const found = [];
  for (const window of windows) {
    const ends = [...window.phases.slice(1).map((phase) => phase.from), window.closes];
    window.phases.forEach(({ phase, from }, n) => {
      const start = Math.max(0, milliseconds(from) - midnight);
      const end = Math.min(DAY_MS, milliseconds(ends[n]) - midnight);
      if (start < end) found.push({ phase, from: start, to: end });
    });
  }
  return found;
}

function said({ phase, from, to }) {
  return `${WORDS[phase]} ${timeOfDay(from).slice(0, 5)} to ${to === DAY_MS ? "24:00" : timeOfDay(to).slice(0, 5)}`;
}

function nextChange(calendar, at) {
  if (calendar.alwaysOpen) return "never closes";
  const changes = calendar.windows.flatMap((window) => [
    ...window.phases.map((each) => ({ word: WORDS[each.phase], at: milliseconds(each.from), note: window.note })),
    { word: "close", at: milliseconds(window.closes), note: window.note },
  ]);
  const coming = changes.filter((each) => each.at > at).slice(0, 3);
  if (!coming.length) return "no session within 14 days";
  const [first, ...others] = coming;
  const note = first.note ? ` (${first.note})` : "";
  return [`next: ${first.word} in ${span(first.at - at)}${note}`, ...others.map((each) => `${each.word} ${when(each.at, at)}`)].join(", ");
}

function when(at, now) {
  const day = dateOf(at) === dateOf(now) ? "" : `${dateOf(at).slice(5)} `;
  return `${day}${timeOfDay(at).slice(0, 5)}`;
}
