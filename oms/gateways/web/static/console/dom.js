// DOM: nodes are made once and patched. Text is always text, so that no name, symbol or message can
// become markup. Rows are keyed: a row keeps its node, and with it its focus, while its data change.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. Throws if the page has none: it is a mistake of the page. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** A new element. props: attributes; `class`, `text`, `on: {event: function}` and `data: {}` too;
 * a value of null, undefined or false sets nothing, true sets "". children: nodes and texts. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "text") node.textContent = value;
    else if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (name === "data") Object.assign(node.dataset, value);
    else setAttr(node, name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An icon of the page's sprite, such as "g-dot" or "i-x". */
export function icon(name, cls = name.startsWith("g-") ? "gl" : "ic") {
  const node = document.createElementNS(SVG, "svg");
  node.setAttribute("class", cls);
  node.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#${name}`);
  node.append(use);
  return node;
}

/** Another icon in the same node. */
export function setIcon(node, name) {
  const use = node.querySelector("use");
  if (use.getAttribute("href") !== `#${name}`) use.setAttribute("href", `#${name}`);
}

export function setText(node, text) {
  const value = text === null || text === undefined ? "" : String(text);
  if (node.textContent !== value) node.textContent = value;
}

/** null, undefined and false take the attribute away; true sets it empty. */
export function setAttr(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

export function setClass(node, name, on) {
  if (node.classList.contains(name) !== Boolean(on)) node.classList.toggle(name, Boolean(on));
}

export function show(node, on) {
  if (node.hidden === Boolean(on)) node.hidden = !on;
}

/** One child for each item, in their order. key(item): text, unique; make(item): its node, made
 * once; patch(node, item, index): what it shows now. Nodes that stay are not moved while others
 * come and go around them, so that focus survives. */
export function keyed(parent, items, key, make, patch) {
  const known = (parent.keyedNodes ??= new Map());
  const wanted = new Set(items.map(key));
  for (const [name, node] of known) {
    if (!wanted.has(name)) {
      node.remove();
      known.delete(name);
    }
  }
  let next = firstOf(parent, known);
  items.forEach((item, index) => {
    const name = key(item);
    let node = known.get(name);
    if (!node) {
      node = make(item);
      known.set(name, node);
    }
    patch(node, item, index);
    if (node === next) next = node.nextSibling;
    else parent.insertBefore(node, next);
  });
}

/** The first child that is keyed; null: there is none. What stands before it, such as a thead, stays. */
function firstOf(parent, known) {
  const nodes = new Set(known.values());
  return [...parent.childNodes].find((node) => nodes.has(node)) ?? null;
}

/** A number as text: its trailing zeros behind the point are dimmed, but there. null: a dash. */
export function setNumber(node, text, { dim = true } = {}) {
  const value = text ?? "–";
  if (node.shownNumber === value) return;
  node.shownNumber = value;
  const zeros = dim && value.includes(".") ? (/(?:\.0+|0+)$/.exec(value)?.[0] ?? "") : "";
  const head = value.slice(0, value.length - zeros.length);
  if (!node.numberParts) {
    node.textContent = "";
    node.numberParts = [document.createTextNode(""), el("span", { class: "z" })];
    node.append(...node.numberParts);
  }
  node.numberParts[0].data = head;
  node.numberParts[1].textContent = zeros;
}

/** Several words of which some are bold: parts are texts, or {b: text}. */
export function setWords(node, parts) {
  const said = parts.map((part) => (typeof part === "string" ? part : `*${part.b}*`)).join("");
  if (node.saidWords === said) return;
  node.saidWords = said;
  node.replaceChildren(...parts.map((part) => (typeof part === "string" ? part : el("b", { text: part.b }))));
}

/** The canvas's context, sized to its box in device pixels; coordinates are CSS pixels. */
export function sizedContext(canvas) {
  const box = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(box.width * ratio);
  const height = Math.round(box.height * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  return { context, width: box.width, height: box.height };
}

/** What a token of tokens.css is now, such as colour("up"). */
export function colour(name) {
  return getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();
}
