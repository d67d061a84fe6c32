// REST: one request, with the login's token. A refusal is a Refused with the words of the API.
// The access token lives in memory; the refresh token is kept in the browser, for all its tabs, and
// a sign-out takes it away. A used refresh token gives the same pair for 5 s, so two tabs may ask at
// once; a tab takes what another one has stored first.

const KEPT = "oms.refresh";
const ANSWER_MS_MAX = 20_000;

/** What was refused, or not answered. code: a word that stays; NO_ANSWER: nothing came. */
export class Refused extends Error {
  constructor(status, error = {}, order = null, retryAfterS = 0) {
    super(error.message || "no answer came");
    this.status = status;
    this.code = error.code || "NO_ANSWER";
    this.number = error.number || 0;
    this.field = error.field || null;
    this.requestId = error.requestId || null;
    this.order = order;
    this.retryAfterS = retryAfterS;
  }

  /** Is it unknown whether the request was done? Then ask, or send it again with the same id. */
  get isUnknown() {
    return this.status === 504 || this.status === 0;
  }

  /** The message without the code before it. */
  get words() {
    return this.message.replace(new RegExp(`^${this.code}:\\s*`), "");
  }
}

let access = "";
let renewing = null;
const endings = new Set();

/** act(why) is called when the login has ended; why: the Refused that ended it; null: the person did. */
export function onLoginEnd(act) {
  endings.add(act);
}

export function accessToken() {
  return access;
}

/** The tokens that POST /login or /refresh answered. */
export function keepTokens(told) {
  access = told.accessToken;
  store(told.refreshToken);
}

export function isLoginKept() {
  return Boolean(stored());
}

/** Forget the login, and say so to everybody who asked. why: the Refused that ended it; null: the person. */
export function endLogin(why) {
  const was = Boolean(access || stored());
  access = "";
  store(null);
  if (was) for (const act of endings) act(why);
}

function stored() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return memory; // storage is switched off: as long as the page
  }
}

let memory = null;

function store(token) {
  memory = token;
  try {
    if (token) localStorage.setItem(KEPT, token);
    else localStorage.removeItem(KEPT);
  } catch {
    memory = token; // storage is switched off: as long as the page
  }
}

/** Another tab signed out: so does this one. */
window.addEventListener("storage", (event) => {
  if (event.key === KEPT && !event.newValue && access) {
    access = "";
    for (const act of endings) act(null);
  }
});

/** A new access token. Rejects with Refused; 401: the login has ended, and everybody is told. */
export function renew() {
  renewing ??= renewed().finally(() => {
    renewing = null;
  });
  return renewing;
}

async function renewed() {
  const refreshToken = stored();
  if (!refreshToken) throw new Refused(401, { code: "UNAUTHORIZED", message: "not signed in" });
  try {
    keepTokens(await sent("POST", "/refresh", { body: { refreshToken } }));
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      if (stored() !== refreshToken && stored()) return renewed(); // another tab has the next pair
      endLogin(error);
    }
    throw error;
  }
}

/** What to add to what was done: the groups of markets that did not answer. */
export function silentText(told) {
  return told.silent ? `; no answer yet from ${told.silent.join(", ")}` : "";
}

/** One request. path: with its query, or `query: {}` beside it. body: an object. Answers what the
 * API answers, with `status` beside it: {told, status}. Rejects with Refused. */
export async function request(method, path, options = {}) {
  if (!access && stored() && options.login !== false) await renew();
  try {
    return await exchanged(method, path, options);
  } catch (error) {
    if (error.status !== 401 || options.login === false || !stored()) throw error;
    await renew();
    return exchanged(method, path, options);
  }
}

/** The same, for those who need the answer alone. */
export async function ask(method, path, options = {}) {
  return (await request(method, path, options)).told;
}

async function sent(method, path, options) {
  return (await exchanged(method, path, { ...options, login: false })).told;
}

async function exchanged(method, path, { query = null, body = null, login = true, signal = null } = {}) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined);
  const target = given.length ? `${path}?${new URLSearchParams(given)}` : path;
  const headers = { accept: "application/json" };
  if (body !== null) headers["content-type"] = "application/json";
  if (login && access) headers.authorization = `Bearer ${access}`;
  const limit = AbortSignal.timeout(ANSWER_MS_MAX);
  let answer;
  let text;
  try {
    answer = await fetch(target, {
      method,
      headers,
      body: body === null ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0, { message: "no answer came from the exchange" });
  }
  const told = parsed(text, answer.status);
  if (answer.ok) return { told, status: answer.status };
  const retryAfterS = Number(answer.headers.get("retry-after")) || 0;
  throw new Refused(answer.status, told?.error ?? { message: `answered ${answer.status}` }, told?.order, retryAfterS);
}

function parsed(text, status) {
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new Refused(status, { code: "UNREADABLE", message: `answered ${status} with what is no JSON` });
  }
}
