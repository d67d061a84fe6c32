// Keys: the view of a person's account: API keys, logins, second factor, password, a first request.

import { byId, el, setText, show } from "./dom.js";
import { keyForm, keyList, firstRequest } from "./keys_api.js";
import { factorPanel, loginList, passwordForm } from "./keys_login.js";
import { store, watch } from "./store.js";

/** Build the view; called once, when it is first shown. */
export function open(root) {
  const list = keyList();
  const parts = [list, keyForm(list.read), loginList(), firstRequest(), factorPanel(), passwordForm()];
  const away = el("section", { class: "p away", "aria-labelledby": "h-keys-away" },
    el("header", {}, el("h2", { id: "h-keys-away", text: "Keys" })),
    el("p", { class: "empty" }, el("b", { text: "Signed out" }), "Sign in on Trade to see keys and logins of your account."));
  const side = el("div", { class: "side" }, parts[1].node, parts[4].node, parts[5].node);
  root.append(away, parts[0].node, parts[2].node, parts[3].node, side);
  let shownUser = null;
  watch(["user", "view"], () => {
    const { user } = store;
    show(away, !user);
    for (const node of [parts[0].node, parts[2].node, parts[3].node, side]) show(node, Boolean(user));
    paintHead(user);
    if (user && (user.user !== shownUser || store.view === "keys")) for (const part of parts) part.read?.();
    if (!user) for (const part of parts) part.forget?.(); // a secret that is shown goes with the login
    shownUser = user?.user ?? null;
  }, { view: "keys" });
}

function paintHead(user) {
  const head = byId("view-head");
  if (head.dataset.of !== "keys" || !head.querySelector(".of-keys")) {
    head.dataset.of = "keys";
    head.replaceChildren(el("b", { text: "Account" }), el("span", { class: "dim of-keys" }));
  }
  setText(head.querySelector(".of-keys"), user ? `${user.user}, ${user.role}; accounts ${user.accounts.join(", ") || "none"}` : "");
}
