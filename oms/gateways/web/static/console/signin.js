// Sign in: the forms in the place of the order form while nobody is signed in. The market is public;
// after it nothing reloads.

import { tabs } from "./choice.js";
import { el, setAttr, setText, show } from "./dom.js";
import { signIn, signUp } from "./login.js";
import { refusalBlock } from "./refusal.js";
import { isLoginKept, onLoginEnd } from "./rest.js";
import { store, watch } from "./store.js";

let box;
let form;
let pending = null; // of the second factor
let mode = "in";
let isBusy = false;
const inputs = {};
const rows = {};
let button;
let refusal;
let note;

export function startSignIn(parent) {
  const canSignUp = document.documentElement.dataset.signUp === "yes";
  refusal = refusalBlock();
  button = el("button", { class: "go", type: "submit" });
  note = el("p");
  const field = (name, label, attributes) => {
    inputs[name] = el("input", { name, spellcheck: "false", ...attributes });
    rows[name] = el("label", { class: "stack" }, el("span", { text: label }), inputs[name]);
    return rows[name];
  };
  form = el("form", { class: "auth", id: "auth-form", novalidate: true, on: { submit } });
  const panel = el("div", { id: "auth-panel", role: "tabpanel" }, form);
  const choice = tabs("Account", canSignUp ? [["in", "Sign in"], ["up", "Create account"]] : [["in", "Sign in"]], panel, (value) => {
    mode = value;
    pending = null;
    refusal.clear();
    paint();
  });
  form.append(
    field("username", "User name or e-mail", { autocomplete: "username", autocapitalize: "none", required: true }),
    field("email", "E-mail", { type: "email", autocomplete: "email" }),
    field("password", "Password", { type: "password", autocomplete: "current-password" }),
    field("code", "Code of your authenticator", { inputmode: "numeric", autocomplete: "one-time-code" }),
    button, refusal.node, note);
  box = el("div", { class: "auth-box", hidden: true }, el("div", { class: "auth-tabs" }, choice.node), panel);
  parent.append(box);
  onLoginEnd((why) => {
    pending = null;
    if (why) refusal.show(why);
    paint();
  });
  watch(["user"], paint);
}

function paint() {
  show(box, !store.user && !(isLoginKept() && !store.user && !isBusy && waits()));
  show(rows.username, !pending);
  show(rows.email, mode === "up" && !pending);
  show(rows.password, !pending);
  show(rows.code, Boolean(pending));
  setText(rows.username.firstChild, mode === "up" ? "User name, also the name of your account" : "User name or e-mail");
  setAttr(inputs.password, "autocomplete", mode === "up" ? "new-password" : "current-password");
  setText(button, isBusy ? "One moment…" : pending ? "Confirm" : mode === "up" ? "Create account" : "Sign in");
  setAttr(button, "aria-disabled", isBusy ? "true" : null);
  setText(note, pending ? "The password was right. The code is good once." : "You see the market without an account. Programs sign with an API key.");
}

/** For a moment after a reload the login of before is being asked for. */
function waits() {
  return performance.now() < 1500;
}

setTimeout(() => box && paint(), 1600);

async function submit(event) {
  event.preventDefault();
  if (isBusy) return;
  const empty = [...form.elements].find((each) => each.name && each.offsetParent && !each.value.trim());
  for (const each of Object.values(inputs)) setAttr(each, "aria-invalid", each === empty ? "true" : null);
  if (empty) {
    empty.focus();
    return;
  }
  isBusy = true;
  refusal.clear();
  paint();
  try {
    await send();
  } catch (error) {
    refusal.show(error, []);
    const bad = error.field && inputs[error.field];
    if (bad) setAttr(bad, "aria-invalid", "true");
    if (pending && error.code !== "CODE_INVALID" && error.status !== 0) pending = null;
  } finally {
    isBusy = false;
    paint();
  }
  if (pending) inputs.code.focus();
}

async function send() {
  const name = inputs.username.value.trim();
  const password = inputs.password.value;
  if (pending) {
    await signIn({ pending, code: inputs.code.value.trim() });
  } else if (mode === "up") {
    await signUp({ username: name, email: inputs.email.value.trim(), password });
  } else {
    const told = await signIn({ [name.includes("@") ? "email" : "username"]: name, password });
    if (told) {
      pending = told.pending;
      return;
    }
  }
  pending = null;
  for (const input of Object.values(inputs)) input.value = "";
}
