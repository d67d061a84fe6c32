// Book: one market's price levels as the feed tells them, in whole units of its scales.

import { toUnits } from "./units.js";

export class Book {
  /** priceScale, quantityScale: of the market, as GET /markets has them. */
  constructor(priceScale, quantityScale) {
    this.priceScale = priceScale;
    this.quantityScale = quantityScale;
    this.sides = { bids: new Map(), asks: new Map() }; // price units -> quantity units
    this.sorted = { bids: null, asks: null };
    this.lastId = 0n;
  }

  /** The whole book, as a SNAPSHOT tells it. */
  begin({ lastId, bids, asks }) {
    this.sides.bids.clear();
    this.sides.asks.clear();
    this.set("bids", bids);
    this.set("asks", asks);
    this.lastId = BigInt(lastId);
  }

  /** Levels that changed. Answers false where some were missed: then begin again. */
  update({ firstId, lastId, bids, asks }) {
    if (BigInt(lastId) <= this.lastId) return true;
    if (BigInt(firstId) > this.lastId + 1n) return false;
    this.set("bids", bids);
    this.set("asks", asks);
    this.lastId = BigInt(lastId);
    return true;
  }

  set(side, levels) {
    const known = this.sides[side];
    for (const [price, quantity] of levels) {
      const at = toUnits(price, this.priceScale);
      const units = toUnits(quantity, this.quantityScale);
      if (units === 0n) known.delete(at);
      else known.set(at, units);
    }
    if (levels.length) this.sorted[side] = null;
  }

  /** [price, quantity] of each level, best first. */
  levels(side) {
    this.sorted[side] ??= [...this.sides[side]].sort(
      side === "bids" ? ([a], [b]) => (a < b ? 1 : -1) : ([a], [b]) => (a > b ? 1 : -1),
    );
    return this.sorted[side];
  }

  /** The best price of a side; null: it is empty. */
  best(side) {
    return this.levels(side)[0]?.[0] ?? null;
  }

  /** Quantity by rung of `step` units: bids fall to the rung below, asks rise to the one above, so
   * that no rung promises a better price than there is. */
  rungs(side, step) {
    const found = new Map();
    for (const [price, quantity] of this.levels(side)) {
      const down = (price / step) * step;
      const rung = side === "bids" || down === price ? down : down + step;
      found.set(rung, (found.get(rung) ?? 0n) + quantity);
    }
    return found;
  }
}
