// Depth: the book as a picture: how much could be bought or sold up to which price.

import { colour, sizedContext } from "./dom.js";
import { shown, toText, toUnits } from "./units.js";

const LEVELS = 60; // of each side
const BOTTOM = 20;

/** Bids left and solid, asks right and dashed. book: null while it is read. */
export function drawDepth(canvas, book, each) {
  const { context, width, height } = sizedContext(canvas);
  context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  if (!book) return;
  const sides = { bids: summed(book.levels("bids")), asks: summed(book.levels("asks")) };
  const all = [...sides.bids, ...sides.asks];
  if (!all.length) {
    context.fillStyle = colour("text2");
    context.textAlign = "center";
    context.fillText("The book is empty", width / 2, height / 2);
    return;
  }
  const prices = all.map(({ price }) => price);
  const lowest = prices.reduce((a, b) => (a < b ? a : b));
  const highest = prices.reduce((a, b) => (a > b ? a : b));
  const margin = (highest - lowest) / 50n || tickOf(each) * 5n;
  const low = lowest - margin;
  const range = highest + margin - low;
  const most = all.map(({ sum }) => sum).reduce((a, b) => (a > b ? a : b));
  const x = (price) => (Number(((price - low) * 10_000n) / range) / 10_000) * width;
  const y = (sum) => (height - BOTTOM) * (1 - (Number((sum * 10_000n) / most) / 10_000) * 0.92);
  drawScale(context, width, height, most, y, each);
  drawSide(context, sides.bids, x, y, height - BOTTOM, "up", []);
  drawSide(context, sides.asks, x, y, height - BOTTOM, "down", [4, 3]);
  context.fillStyle = colour("text3");
  for (let part = 1; part <= 5; part += 1) {
    const price = low + (range * BigInt(part)) / 6n;
    context.textAlign = "center";
    context.fillText(shown(toText(price - (price % tickOf(each)), each.priceScale), each.places.price), x(price), height - 6);
  }
}

function tickOf(each) {
  return toUnits(each.tickSize, each.priceScale);
}

function summed(levels) {
  let sum = 0n;
  return levels.slice(0, LEVELS).map(([price, quantity]) => ({ price, sum: (sum += quantity) }));
}

function drawScale(context, width, height, most, y, each) {
  context.textAlign = "right";
  for (const part of [1n, 2n, 3n]) {
    const sum = (most * part) / 3n;
    const at = Math.round(y(sum)) + 0.5;
    context.strokeStyle = colour("line");
    context.beginPath();
    context.moveTo(0, at);
    context.lineTo(width, at);
    context.stroke();
    context.fillStyle = colour("text3");
    const whole = toText(sum, each.quantityScale);
    context.fillText(`${shown(whole.slice(0, whole.indexOf(".") + 1 + Math.min(2, each.places.quantity)) || whole)} ${each.base}`, width - 6, at - 4);
  }
}

function drawSide(context, levels, x, y, floor, name, dash) {
  if (!levels.length) return;
  context.beginPath();
  context.moveTo(x(levels[0].price), floor);
  let before = floor;
  for (const { price, sum } of levels) {
    context.lineTo(x(price), before);
    before = y(sum);
    context.lineTo(x(price), before);
  }
  context.lineTo(x(levels.at(-1).price), before);
  context.setLineDash(dash);
  context.strokeStyle = colour(name);
  context.lineWidth = 1.4;
  context.stroke();
  context.setLineDash([]);
  context.lineTo(x(levels.at(-1).price), floor);
  context.closePath();
  context.fillStyle = colour(`${name}bg`);
  context.globalAlpha = 0.7;
  context.fill();
  context.globalAlpha = 1;
}
