// The forms of /docs: each sends one request to this server and shows the answer. The token of a
// login is kept in this page alone: it is gone when the page is.
"use strict";

let token = "";

// What a form says: the path with its parts, the query, the body.
function asked(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  let body = null;
  for (const input of form.querySelectorAll("[data-in]")) {
    const text = input.value.trim();
    if (input.dataset.in === "path") {
      path = path.replace(`{${input.name}}`, encodeURIComponent(text));
    } else if (text && input.dataset.in === "query") {
      query.append(input.name, text);
    } else if (text && input.dataset.in === "whole") {
      body = text;
    } else if (text && input.dataset.in === "body") {
      body = body || {};
      body[input.name] = valueOf(text, input.dataset.kind);
    }
  }
  if (body !== null && typeof body !== "string") body = JSON.stringify(body);
  if (body === null && form.dataset.method !== "GET") body = "{}";
  const said = query.toString();
  return { url: said ? `${path}?${said}` : path, body };
}

function valueOf(text, kind) {
  if (kind === "boolean") return text === "true";
  if (kind === "whole number" && /^-?[0-9]{1,15}$/.test(text)) return Number(text);
  if (kind === "array" && !text.startsWith("[")) return text.split(",").map((each) => each.trim());
  if (kind === "array" || kind === "object") {
    try {
      return JSON.parse(text);
    } catch {
      return text; // the server says what is wrong with it
    }
  }
  return text;
}

async function send(method, url, body) {
  const headers = { accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== null) headers["content-type"] = "application/json";
  const answer = await fetch(url, { method, headers, body });
  return { status: answer.status, text: await answer.text() };
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function tried(event) {
  event.preventDefault();
  const form = event.currentTarget;
  const shown = form.querySelector("pre");
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const { url, body } = asked(form);
    const told = await send(form.dataset.method, url, form.dataset.method === "GET" ? null : body);
    shown.textContent = `${told.status}\n${pretty(told.text)}`;
  } catch (error) {
    shown.textContent = `no answer: ${error.message}`;
  } finally {
    shown.hidden = false;
    button.disabled = false;
  }
}

async function signedIn(event) {
  event.preventDefault();
  const form = event.currentTarget;
  const shown = form.querySelector("output");
  const said = Object.fromEntries([...new FormData(form)].filter(([, text]) => text));
  try {
    const told = await send("POST", "/login", JSON.stringify(said));
    const answer = JSON.parse(told.text);
    token = answer.token || "";
    shown.textContent = token ? `signed in as ${said.username}` : answer.error.message;
  } catch (error) {
    shown.textContent = `no answer: ${error.message}`;
  }
}

for (const each of document.querySelectorAll(".needs-script")) each.hidden = false;
for (const form of document.querySelectorAll("form.try")) form.addEventListener("submit", tried);
document.getElementById("sign-in").addEventListener("submit", signedIn);
