// Keys' logins: where the person is signed in, the second factor, and the password.

import { happened } from "./announce.js";
import { copy } from "./copy.js";
import { el, keyed, setText, show } from "./dom.js";
import { questionLine } from "./question.js";
import { refusalBlock } from "./refusal.js";
import { ask, endLogin } from "./rest.js";
import { serverNow } from "./store.js";
import { milliseconds, timeOrDay } from "./units.js";

/** Answers {node, read()}. */
export function loginList() {
  const question = questionLine();
  const refusal = refusalBlock();
  const body = el("tbody");
  const others = el("button", { class: "txt", type: "button", text: "Sign out the others…", on: { click: endOthers } });
  const node = el("section", { class: "p sess", "aria-labelledby": "h-sess" },
    el("header", {}, el("h2", { id: "h-sess", text: "Signed in" }), el("span", { class: "grow" }), others), question.node, refusal.node,
    el("div", { class: "scroll", role: "region", "aria-label": "Your logins", tabindex: "0" },
      el("table", { class: "t tall" },
        el("thead", {}, el("tr", {}, ...[["Login"], ["Since", "r"], ["Until at the latest", "r x1"], ["Do", "r"]].map(([text, cls]) => el("th", { scope: "col", class: cls, text })))), body)));
  let logins = [];
  return { node, read };

  async function read() {
    try {
      logins = (await ask("GET", "/logins")).logins.reverse();
      refusal.clear();
    } catch (error) {
      refusal.show(error);
      return;
    }
    show(others, logins.some((each) => !each.current));
    keyed(body, logins, (each) => each.id, row, () => {});
  }

  function row(each) {
    const now = serverNow() ?? Date.now();
    return el("tr", {},
      el("td", {}, each.current ? el("b", { text: "this browser" }) : el("code", { text: each.id })),
      el("td", { class: "r num", text: timeOrDay(milliseconds(each.began), now) }),
      el("td", { class: "r num dim x1", text: timeOrDay(milliseconds(each.ends), now) }),
      el("td", { class: "r" }, each.current ? null : el("button", { class: "txt", type: "button", text: "End…", "aria-label": `End login ${each.id}`, on: { click: () => end([each]) } })));
  }

  function endOthers() {
    end(logins.filter((each) => !each.current));
  }

  function end(some) {
    const many = some.length === 1 ? "this login" : `${some.length} other logins`;
    question.ask({
      text: `End ${many}? Signed out there at once.`, go: "End", why: "",
      act: async () => {
        for (const each of some) await ask("DELETE", `/logins/${encodeURIComponent(each.id)}`);
        await read();
        return some.length === 1 ? "A login was ended" : `${some.length} logins were ended`;
      },
    });
  }
}

/** Answers {node, read(), forget()}. */
export function factorPanel() {
  const state = el("span", { class: "meta" });
  const refusal = refusalBlock();
  const code = el("input", { inputmode: "numeric", autocomplete: "one-time-code", maxlength: "16" });
  const uri = el("input", { readonly: true, class: "code", spellcheck: "false", on: { focus: () => uri.select() } });
  const secret = el("input", { readonly: true, class: "code", spellcheck: "false", on: { focus: () => secret.select() } });
  const setUp = el("div", { class: "kform inner", hidden: true },
    el("p", { class: "dim", text: "Give one of both to an authenticator program, then say the code that it shows." }),
    el("label", { class: "stack" }, el("span", { text: "Key for the authenticator" }), secret),
    el("div", { class: "withcopy" }, el("label", { class: "stack" }, el("span", { text: "Address (otpauth)" }), uri),
      el("button", { class: "btn", type: "button", text: "Copy", "aria-label": "Copy the address", on: { click: () => copy(uri.value, "Address") } })));
  const said = el("label", { class: "stack", hidden: true }, el("span", { text: "Code" }), code);
  const button = el("button", { class: "btn" });
  const node = el("section", { class: "p factor", "aria-labelledby": "h-factor" },
    el("header", {}, el("h2", { id: "h-factor", text: "Second factor" }), el("span", { class: "grow" }), state),
    el("form", { class: "kform", on: { submit: change } }, setUp,
      said, refusal.node, button));
  let isOn = false;
  return { node, read, forget };

  async function read() {
    try {
      const told = await ask("GET", "/factor");
      paint({ on: told.on }); // the key is shown when it is asked for
    } catch (error) {
      refusal.show(error);
    }
  }

  function paint(told) {
    isOn = told.on;
    const isReady = isOn || Boolean(told.uri);
    setText(state, isOn ? "on" : "off");
    setText(button, isOn ? "Turn it off" : isReady ? "Turn it on" : "Set it up…");
    show(setUp, !isOn && isReady);
    show(said, isReady);
    code.required = isReady;
    uri.value = told.uri ?? "";
    secret.value = told.uri ? new URL(told.uri).searchParams.get("secret") : "";
  }

  async function change(event) {
    event.preventDefault();
    refusal.clear();
    try {
      if (said.hidden) {
        paint(await ask("GET", "/factor"));
        code.focus();
        return;
      }
      const told = await ask(isOn ? "DELETE" : "POST", "/factor", { body: { code: code.value.trim() } });
      code.value = "";
      happened(told.on ? "Second factor is on" : "Second factor is off");
      if (told.on) paint(told);
      else await read();
    } catch (error) {
      refusal.show(error);
      code.focus();
    }
  }

  function forget() {
    uri.value = secret.value = code.value = "";
  }
}

/** Answers {node, forget()}. */
export function passwordForm() {
  const field = (name, autocomplete) => el("input", { type: "password", name, autocomplete, maxlength: "1024", required: true });
  const before = field("oldPassword", "current-password");
  const after = field("newPassword", "new-password");
  const refusal = refusalBlock();
  const node = el("section", { class: "p password", "aria-labelledby": "h-password" },
    el("header", {}, el("h2", { id: "h-password", text: "Password" })),
    el("form", { class: "kform", on: { submit: change } },
      el("label", { class: "stack" }, el("span", { text: "Password now" }), before),
      el("label", { class: "stack" }, el("span", {}, "New password ", el("em", { text: "8 characters or more" })), after),
      el("p", { class: "dim", text: "All logins end, this one too: sign in with the new one." }), refusal.node,
      el("button", { class: "btn", text: "Change it" })));
  return { node, forget };

  async function change(event) {
    event.preventDefault();
    refusal.clear();
    try {
      await ask("POST", "/password", { body: { oldPassword: before.value, newPassword: after.value } });
      forget();
      endLogin("the password was changed");
    } catch (error) {
      refusal.show(error);
      before.focus();
    }
  }

  function forget() {
    before.value = after.value = "";
  }
}
