// Feed: the WebSocket of the API. One socket carries all subscriptions; who it speaks for is said by
// the login's token. After a loss it connects again, jittered, and goes on behind the last event.
// Heartbeats decide what is live: they are the engine's own answer. An open socket says nothing.

import { Refused, accessToken, isLoginKept, renew } from "./rest.js";
import { changed, groupOf, setClock, store } from "./store.js";
import { milliseconds } from "./units.js";

const RESUMED = new Set(["orders", "fills", "trades"]); // channels that go on behind a sequence
const PRIVATE = new Set(["orders", "fills", "balances"]);
const OF_GROUP = new Set([...PRIVATE, "markets"]); // one subscription to each group of markets
const NOT_NOW = new Set(["UNAVAILABLE", "OUTCOME_UNKNOWN"]);
const AGAIN_MS = 2000;
const LATE_MS = 3000; // three heartbeats
const DEAD_MS = 10_000; // then the socket is given up
const OPEN_MS_MAX = 8000;
const PAUSE_MS = [300, 600, 1200, 2000, 3000, 4000];
const PING_MS = 5000;
const REVOKED = 4003;

const topics = new Map();
const calls = new Map();
let socket = null;
let isIntroduced = false; // the socket speaks for the person who is signed in
let nextId = 1;
let openedAt = 0;
let retryTimer = 0;
let pingedAt = 0;

/** Begin to hear a channel. topic: {channel, symbol, interval, width, account, group}. hears.begun(message)
 * gets the answer, event SNAPSHOT or RESUMED, at the beginning and after each loss; hears.told(message)
 * each event. Answers {again(), end()}: begin with a new snapshot; hear no more. */
export function subscribe(topic, hears) {
  const key = keyOf(topic);
  if (topics.has(key)) throw new Error(`subscribed already: ${key}`);
  const entry = { topic, hears, key, group: topic.group ?? "", position: null, isBegun: false };
  topics.set(key, entry);
  begin(entry);
  return {
    again() {
      entry.position = null;
      if (!isOpen()) return;
      if (entry.isBegun) send({ op: "unsubscribe", ...entry.topic });
      begin(entry);
    },
    end() {
      if (topics.get(key) !== entry) return;
      topics.delete(key);
      if (isOpen()) send({ op: "unsubscribe", ...entry.topic });
    },
  };
}

/** The topic of one group; as it is where there is no other. */
export function ofGroup(topic, group) {
  return group ? { ...topic, group } : topic;
}

/** One operation, such as call("order.test", {params}). Rejects with Refused; NO_ANSWER: the socket
 * was lost before the answer. */
export function call(op, fields = {}) {
  if (!isOpen()) return Promise.reject(new Refused(0));
  const id = String(nextId++);
  send({ op, id, ...fields });
  return new Promise((resolve, reject) => calls.set(id, { resolve, reject }));
}

/** Connect, and stay connected. */
export function connect() {
  window.addEventListener("online", hurry);
  document.addEventListener("visibilitychange", () => document.hidden || hurry());
  setInterval(watchHeart, 250);
  open();
}

/** The login is another one: say who it is, or connect anew as nobody. */
export function introduce() {
  if (accessToken() && isOpen()) speakFor();
  else restart();
}

function restart() {
  const old = socket;
  socket = null;
  isIntroduced = false;
  if (old) old.close(1000);
  dropCalls();
  clearTimeout(retryTimer);
  open();
}

function isOpen() {
  return socket !== null && socket.readyState === WebSocket.OPEN;
}

function keyOf({ channel, symbol = "", interval = 0, width = "", group = "" }) {
  return [channel, symbol, interval, width, OF_GROUP.has(channel) ? group : ""].join("|");
}

function send(message) {
  socket.send(JSON.stringify(message));
}

function open() {
  const secure = location.protocol === "https:" ? "wss" : "ws";
  const made = new WebSocket(`${secure}://${location.host}/ws`);
  socket = made;
  openedAt = performance.now();
  made.onopen = () => made === socket && opened();
  made.onmessage = (event) => made === socket && heard(JSON.parse(event.data));
  made.onclose = (event) => made === socket && lost(event.code);
}

async function opened() {
  store.link.openedAt = performance.now();
  for (const entry of topics.values()) begin(entry);
  if (accessToken() || isLoginKept()) await speakFor();
}

async function speakFor() {
  const made = socket;
  try {
    if (!accessToken()) await renew();
    await call("auth", { token: accessToken() });
  } catch (error) {
    if (made !== socket || error.status === 0) return;
    try {
      await renew();
      if (made === socket) await call("auth", { token: accessToken() });
    } catch {
      return; // renew has told whether the login is over; a lost socket begins again
    }
  }
  if (made !== socket) return;
  isIntroduced = true;
  for (const entry of topics.values()) if (PRIVATE.has(entry.topic.channel)) begin(entry);
}

function begin(entry) {
  const { key } = entry;
  entry.isBegun = false;
  if (!isOpen() || (PRIVATE.has(entry.topic.channel) && !isIntroduced)) return;
  const { position } = entry;
  const from = position && RESUMED.has(entry.topic.channel) ? { fromSeq: position.seq } : {};
  if (from.fromSeq && position.number !== null) from.fromNumber = String(position.number);
  call("subscribe", { ...entry.topic, ...from }).then(
    (answer) => {
      if (topics.get(entry.key) !== entry) return;
      entry.isBegun = true;
      entry.group = answer.group ?? "";
      if (answer.event === "SNAPSHOT") entry.position = { seq: answer.seq, number: null };
      entry.hears.begun(answer);
    },
    (error) => {
      if (error.status === 0) return; // the link begins again
      if (NOT_NOW.has(error.code)) setTimeout(() => topics.get(key) === entry && !entry.isBegun && begin(entry), AGAIN_MS);
      else entry.hears.refused?.(error);
    },
  );
}

// --- what is heard ---

function heard(message) {
  if (message.id !== null && message.id !== undefined && calls.has(message.id)) return answered(message);
  if (message.channel === "heartbeat") return beat(message);
  if (!message.channel || message.op) return undefined;
  const data = message.data ?? message;
  const entry = topics.get(
    keyOf({
      channel: message.channel,
      symbol: OF_GROUP.has(message.channel) ? "" : data.symbol,
      interval: message.interval,
      width: data.width,
      group: message.group,
    }),
  );
  if (!entry || !entry.isBegun) return undefined;
  if (message.seq) entry.position = { seq: message.seq, number: message.number ?? null };
  return entry.hears.told(message);
}

function answered(message) {
  const { resolve, reject } = calls.get(message.id);
  calls.delete(message.id);
  if (message.ok) resolve(message);
  else reject(new Refused(message.status ?? 400, message.error, message.order));
}

/** Each group's engine answers for itself: what is live is the one whose market is shown. */
function beat({ seq, time, group = "" }) {
  const { link } = store;
  const at = performance.now();
  const before = link.beats.get(group);
  link.beats.set(group, { seq, at });
  if (before && BigInt(seq) < BigInt(before.seq)) {
    // Another exchange, or one that lost its data: nothing of what is shown holds.
    for (const entry of topics.values()) if (entry.group === group) entry.position = null;
    return restart();
  }
  link.tries = 0;
  setClock(milliseconds(time));
  for (const entry of topics.values()) {
    if (entry.group === group && entry.isBegun && entry.position && BigInt(seq) >= BigInt(entry.position.seq)) {
      entry.position = { seq, number: null };
    }
  }
  changed("beat");
  watchHeart();
  if (at - pingedAt > PING_MS) ping();
  return undefined;
}

async function ping() {
  pingedAt = performance.now();
  try {
    await call("ping");
    store.link.roundTripMs = performance.now() - pingedAt;
  } catch {
    store.link.roundTripMs = null; // the link says why
  }
}

function watchHeart() {
  const { link } = store;
  const now = performance.now();
  if (socket?.readyState === WebSocket.CONNECTING && now - openedAt > OPEN_MS_MAX) {
    socket.close();
    lost(0);
    return;
  }
  if (link.state !== "live") changed("link"); // its age is shown
  if (!isOpen()) return;
  const begunAt = link.openedAt ?? 0;
  const latest = Math.max(begunAt, ...[...link.beats.values()].map((each) => each.at));
  link.aliveAt = link.beats.get(groupOf())?.at ?? 0;
  if (now - latest > DEAD_MS) {
    socket.close();
    lost(0);
  } else if (link.aliveAt > begunAt && now - link.aliveAt <= LATE_MS) {
    setState("live");
  } else if (now - Math.max(link.aliveAt, begunAt) > LATE_MS && link.state === "live") {
    setState("stale");
  }
}

// --- what is lost ---

function lost(code) {
  socket = null;
  isIntroduced = false;
  for (const entry of topics.values()) entry.isBegun = false;
  dropCalls();
  setState("down");
  if (code === REVOKED && isLoginKept()) {
    renew().then(open, retry);
    return;
  }
  retry();
}

function retry() {
  const { link } = store;
  const pause = PAUSE_MS[Math.min(link.tries, PAUSE_MS.length - 1)];
  link.tries += 1;
  clearTimeout(retryTimer);
  retryTimer = setTimeout(open, pause * (0.5 + Math.random()));
  changed("link");
}

function hurry() {
  if (socket === null && store.link.state === "down") {
    clearTimeout(retryTimer);
    open();
  }
}

function dropCalls() {
  const open = [...calls.values()];
  calls.clear();
  for (const { reject } of open) reject(new Refused(0));
}

function setState(state) {
  if (store.link.state === state) return;
  store.link.state = state;
  changed("link", "state");
}
