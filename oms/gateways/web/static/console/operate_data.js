// Operate's data: what the admin API tells, asked again and again while the view is shown. Each
// question has a topic of the store by its own name: operate.status, operate.vitals, ...

import { ask } from "./rest.js";
import { changed, may, store } from "./store.js";

const TICK_MS = 250;
const ROWS_MAX = 720;
const QUESTIONS = {
  status: { everyMs: 1000, ask: asksStatus },
  vitals: { everyMs: 5000, ask: asksVitals },
  halts: { everyMs: 2000, ask: asksHalts },
  actions: { everyMs: 5000, ask: asksActions },
  users: { everyMs: 15_000, ask: asksUsers },
  calendar: { everyMs: 60_000, ask: asksCalendar },
};

/** What is known. Each is null before its first answer. failure: why the latest question was not
 * answered; "" if it was. */
export const seen = {
  status: null, // as GET /admin/status
  rows: null, // of GET /admin/vitals, oldest first
  minute: null,
  answers: [],
  halts: null,
  actions: null, // of GET /admin/actions, newest first
  next: null, // the cursor of the actions behind those
  users: null,
  calendar: null,
  failure: "",
};
const dueAt = Object.fromEntries(Object.keys(QUESTIONS).map((name) => [name, 0]));
const underWay = new Set();

/** Begin to ask. */
export function startAsking() {
  setInterval(tick, TICK_MS);
  tick();
}

/** Ask anew now: what was done has changed it. */
export function hurry(...names) {
  for (const name of names) dueAt[name] = 0;
  tick();
}

function tick() {
  if (store.view !== "operate" || document.hidden || !may("admin")) return;
  const now = performance.now();
  for (const [name, question] of Object.entries(QUESTIONS)) {
    if (now < dueAt[name] || underWay.has(name)) continue;
    dueAt[name] = now + question.everyMs;
    underWay.add(name);
    asked(name, question);
  }
}

async function asked(name, question) {
  try {
    await question.ask();
    seen.failure = "";
  } catch (error) {
    seen.failure = error.words ?? error.message;
    changed("operate.failure");
  } finally {
    underWay.delete(name);
    changed(`operate.${name}`);
  }
}

async function asksStatus() {
  seen.status = await ask("GET", "/admin/status");
}

async function asksVitals() {
  const last = seen.rows?.at(-1)?.time ?? "0";
  const told = await ask("GET", "/admin/vitals", { query: { after: last, limit: ROWS_MAX } });
  seen.rows = [...(seen.rows ?? []), ...told.rows].slice(-ROWS_MAX);
  seen.minute = told.minute;
  seen.answers = told.answers;
}

async function asksHalts() {
  seen.halts = await ask("GET", "/admin/halts");
}

/** Sequences count in each group of markets alone. */
export function nameOfAction({ seq, group = "" }) {
  return `${group} ${seq}`.trim();
}

/** The latest page; pages behind it, which the person asked for, stay. */
async function asksActions() {
  const told = await ask("GET", "/admin/actions", { query: { limit: 50 } });
  const oldest = told.actions.at(-1);
  const names = new Set(told.actions.map(nameOfAction));
  const older = (seen.actions ?? []).filter((each) => oldest && BigInt(each.time) <= BigInt(oldest.time) && !names.has(nameOfAction(each)));
  seen.actions = [...told.actions, ...older];
  if (!older.length) seen.next = told.next;
}

/** The page behind the oldest action that is known. */
export async function askOlder() {
  const told = await ask("GET", "/admin/actions", { query: { limit: 50, before: seen.next } });
  seen.actions = [...seen.actions, ...told.actions];
  seen.next = told.next;
  changed("operate.actions");
}

async function asksUsers() {
  seen.users = (await ask("GET", "/admin/users")).users;
}

async function asksCalendar() {
  seen.calendar = await ask("GET", "/calendar", { query: { days: 14 } });
}
