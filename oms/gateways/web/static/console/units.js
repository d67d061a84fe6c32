// Units: prices, quantities and money are whole units of a scale (BigInt), and text at the edges.
// No float ever holds one; a picture alone may turn a proportion into one.

const DECIMAL = /^([-−+]?)(\d{0,30})(?:\.(\d{0,30}))?$/;

/** A decimal as text -> {units, scale}; null if it is no number. Commas and spaces group. */
export function parse(text) {
  const found = DECIMAL.exec(String(text ?? "").replace(/[,\s_]/g, ""));
  if (!found || (!found[2] && !found[3])) return null;
  const fraction = found[3] ?? "";
  const units = BigInt((found[2] || "0") + fraction);
  return { units: found[1] === "-" || found[1] === "−" ? -units : units, scale: fraction.length };
}

/** The same number in units of another scale; null if it is finer than that. */
export function toUnits(text, scale) {
  const found = parse(text);
  if (!found) return null;
  const zeros = scale - found.scale;
  if (zeros >= 0) return found.units * 10n ** BigInt(zeros);
  const cut = 10n ** BigInt(-zeros);
  return found.units % cut === 0n ? found.units / cut : null;
}

/** Units of a scale as plain text, as the API takes it: "-12.50". */
export function toText(units, scale) {
  const negative = units < 0n;
  const digits = String(negative ? -units : units).padStart(scale + 1, "0");
  const whole = digits.slice(0, digits.length - scale);
  const fraction = scale ? `.${digits.slice(-scale)}` : "";
  return `${negative ? "-" : ""}${whole}${fraction}`;
}

/** How many places a step has: "0.05" has 2. */
export function places(step) {
  const fraction = String(step).split(".")[1] ?? "";
  return fraction.replace(/0+$/, "").length;
}

/** For people: commas, a true minus, at least `least` places and never fewer than it has. sign: a
 * plus on what is above 0. null: null, which is shown as a dash. */
export function shown(text, least = 0, { sign = false } = {}) {
  const found = parse(text);
  if (!found) return null;
  const negative = found.units < 0n;
  const [whole, fraction = ""] = toText(negative ? -found.units : found.units, found.scale).split(".");
  const kept = fraction.replace(/0+$/, "").padEnd(least, "0");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  const mark = negative ? "−" : sign && found.units > 0n ? "+" : "";
  return `${mark}${grouped}${kept ? `.${kept}` : ""}`;
}

/** Cut to `most` places towards zero, for people alone: a volume, an average. */
export function shortened(text, most) {
  const found = parse(text);
  if (!found || found.scale <= most) return text;
  return toText(found.units / 10n ** BigInt(found.scale - most), most);
}

function aligned(left, right) {
  const a = parse(left);
  const b = parse(right);
  if (!a || !b) return null;
  const scale = Math.max(a.scale, b.scale);
  return {
    a: a.units * 10n ** BigInt(scale - a.scale),
    b: b.units * 10n ** BigInt(scale - b.scale),
    scale,
  };
}

/** Sum of two decimals as text; null if one is none. */
export function add(left, right) {
  const both = aligned(left, right);
  return both && toText(both.a + both.b, both.scale);
}

export function subtract(left, right) {
  const both = aligned(left, right);
  return both && toText(both.a - both.b, both.scale);
}

export function multiply(left, right) {
  const a = parse(left);
  const b = parse(right);
  return a && b && toText(a.units * b.units, a.scale + b.scale);
}

/** Below, at or above: -1, 0, 1; null if one is no number. */
export function compare(left, right) {
  const both = aligned(left, right);
  return both && (both.a < both.b ? -1 : both.a > both.b ? 1 : 0);
}

/** The largest multiple of `step` up to text / divisor; all are decimals as text. */
export function quotientDown(text, divisor, step) {
  const scale = 12;
  const [a, b, unit] = [text, divisor, step].map(parse);
  if (!a || !b || !unit || b.units <= 0n || unit.units <= 0n) return null;
  const value = (a.units * 10n ** BigInt(scale + b.scale)) / (b.units * 10n ** BigInt(a.scale));
  const stepUnits = unit.units * 10n ** BigInt(scale - unit.scale);
  return toText((value / stepUnits) * stepUnits, scale);
}

/** change / from as a signed per cent with two places; null where there is no proportion. */
export function percent(change, from) {
  const a = parse(change);
  const b = parse(from);
  if (!a || !b || b.units === 0n) return null;
  const scale = 10n ** BigInt(b.scale);
  const per = (a.units * scale * 10_000n) / (b.units * 10n ** BigInt(a.scale));
  return shown(toText(per, 2), 2, { sign: true });
}

/** A picture's number. Never sent, never shown as digits. */
export function forPicture(text) {
  return Number(String(text).replace(/,/g, ""));
}

/** Nanoseconds since 1970 as text -> milliseconds. */
export function milliseconds(nanoseconds) {
  return Number(BigInt(nanoseconds) / 1_000_000n);
}

const two = (number) => String(number).padStart(2, "0");

/** UTC, "14:45:26"; with milliseconds for fills. */
export function timeOfDay(ms, { fine = false } = {}) {
  const at = new Date(ms);
  const text = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
  return fine ? `${text}.${String(at.getUTCMilliseconds()).padStart(3, "0")}` : text;
}

/** UTC, "2026-11-27". */
export function dateOf(ms) {
  return new Date(ms).toISOString().slice(0, 10);
}

/** A time of today as the time alone, an older one with its day: "27 Nov 14:45:26". */
export function timeOrDay(ms, nowMs) {
  if (dateOf(ms) === dateOf(nowMs)) return timeOfDay(ms);
  const at = new Date(ms);
  const month = at.toLocaleString("en", { month: "short", timeZone: "UTC" });
  return `${at.getUTCDate()} ${month} ${timeOfDay(ms).slice(0, 5)}`;
}

/** How long: "00:42", "02:14:32", "3 d 04:00". */
export function span(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor((seconds % 86_400) / 3600);
  const rest = `${two(Math.floor((seconds % 3600) / 60))}:${two(seconds % 60)}`;
  if (days) return `${days} d ${two(hours)}:${rest.slice(0, 2)}`;
  return hours ? `${two(hours)}:${rest}` : rest;
}
