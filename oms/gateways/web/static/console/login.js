// Login: who is signed in, and how that begins and ends. Nothing reloads: the market stays, and what
// is the person's own comes and goes.

import { happened } from "./announce.js";
import * as feed from "./feed.js";
import { ask, endLogin, isLoginKept, keepTokens, onLoginEnd, request } from "./rest.js";
import { changed, store } from "./store.js";

/** Sign in by {username, password}, or by {pending, code}. Answers {pending} where the second factor
 * is still to be said, else null. Rejects with Refused. */
export async function signIn(said) {
  const { told, status } = await request("POST", "/login", { body: said, login: false });
  if (status === 202) return { pending: told.pending };
  keepTokens(told);
  await meet();
  feed.introduce();
  return null;
}

/** Become a user, and sign in. Rejects with Refused. */
export async function signUp({ username, email, password }) {
  await ask("POST", "/signup", { body: { username, email, password }, login: false });
  return signIn({ username, password });
}

export async function signOut() {
  try {
    await ask("POST", "/logout", { body: {} });
  } finally {
    endLogin(null);
  }
}

/** Ask who it is: at the beginning, and when rights may be others. */
export async function meet() {
  const user = await ask("GET", "/me");
  store.user = user;
  if (!user.accounts.includes(store.account)) store.account = user.accounts[0] ?? "";
  changed("user", "account");
}

/** Show another account of the person. */
export function chooseAccount(account) {
  if (account === store.account) return;
  store.account = account;
  changed("account");
}

/** A login of before goes on; one that has ended is told by its end. */
export async function goOn() {
  if (!isLoginKept()) return;
  try {
    await meet();
    feed.introduce();
  } catch (error) {
    if (error.status !== 401) setTimeout(goOn, 2000);
  }
}

onLoginEnd((why) => {
  store.user = null;
  store.account = "";
  changed("user", "account");
  feed.introduce();
  happened(why ? "Signed out: the login has ended" : "Signed out");
});
