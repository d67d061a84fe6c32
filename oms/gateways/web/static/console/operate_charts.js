// Operate's pictures: a course of one figure, percentiles over time on a logarithmic scale, and how
// many answers took how long. Each is an image with a name that says its latest figures.

import { colour, setAttr, sizedContext } from "./dom.js";
import { forPicture, milliseconds, timeOfDay } from "./units.js";

const FONT = "11px system-ui, sans-serif";
const LINES = [
  { name: "p50", field: "p50", token: "text", dash: [], width: 1.6 },
  { name: "p90", field: "p90", token: "text2", dash: [4, 3], width: 1 },
  { name: "p99", field: "p99", token: "focus", dash: [], width: 1.2 },
  { name: "p99.9", field: "p999", token: "focus", dash: [2, 2], width: 1 },
];
const BARS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, Infinity]; // upper edges
const LEFT = 46;
const RIGHT = 44;
const BOTTOM = 20;

/** Milliseconds of nanoseconds as text, with three figures; "–" of null. */
export function shownMs(nanoseconds) {
  if (nanoseconds === null || nanoseconds === undefined) return "–";
  const ms = forPicture(nanoseconds) / 1e6;
  if (ms >= 100) return Math.round(ms).toLocaleString("en");
  return ms.toPrecision(3).includes("e") ? ms.toFixed(4) : Number(ms.toPrecision(3)).toFixed(ms >= 10 ? 1 : 2);
}

/** A course: values, oldest first, from 0 to the largest. */
export function drawCourse(canvas, values) {
  const { context, width, height } = sizedContext(canvas);
  if (values.length < 2 || !width) return;
  const most = Math.max(...values, 1e-9);
  const x = (n) => (n / (values.length - 1)) * width;
  const y = (value) => height - 1 - (value / most) * (height - 4);
  context.beginPath();
  values.forEach((value, n) => (n ? context.lineTo(x(n), y(value)) : context.moveTo(x(n), y(value))));
  context.strokeStyle = colour("text3");
  context.lineWidth = 1;
  context.stroke();
  context.lineTo(width, height);
  context.lineTo(0, height);
  context.fillStyle = colour("raised");
  context.globalCompositeOperation = "destination-over";
  context.fill();
}

/** Percentiles of one hop over the last `minutes`. rows: of GET /admin/vitals. */
export function drawPercentiles(canvas, rows, hop, minutes) {
  const { context, width, height } = sizedContext(canvas);
  const until = rows.length ? milliseconds(rows.at(-1).time) : 0;
  const first = rows.find((row) => row.hops[hop].count);
  const since = Math.max(until - minutes * 60_000, Math.min(first ? milliseconds(first.time) : 0, until - 60_000));
  const points = rows
    .map((row) => ({ at: milliseconds(row.time), of: row.hops[hop] }))
    .filter((point) => point.at >= since && point.of.count);
  const last = points.at(-1)?.of;
  const figures = last ? LINES.map((line) => `${line.name} ${shownMs(last[line.field])} ms`).join(", ") : "nothing measured yet";
  setAttr(canvas, "aria-label", `Latency ${hop}, last ${minutes} minutes: ${figures}`);
  if (!points.length || width < LEFT + RIGHT + 40) return;
  const all = points.flatMap((point) => LINES.map((line) => forPicture(point.of[line.field]) / 1e6));
  const low = Math.floor(Math.log10(Math.max(Math.min(...all), 1e-4)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...all))));
  const x = (at) => LEFT + ((at - since) / (until - since)) * (width - LEFT - RIGHT);
  const y = (ms) => 10 + ((high - Math.log10(Math.max(ms, 10 ** low))) / (high - low)) * (height - BOTTOM - 16);
  drawGrid(context, { low, high, since, until, width, height, x, y });
  drawLines(context, points, { x, y, width });
}

function drawGrid(context, { low, high, since, until, width, height, x, y }) {
  context.font = FONT;
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.lineWidth = 1;
  for (let power = low; power <= high; power += 1) {
    const at = Math.round(y(10 ** power)) + 0.5;
    context.strokeStyle = colour("line");
    context.beginPath();
    context.moveTo(LEFT, at);
    context.lineTo(width - RIGHT, at);
    context.stroke();
    context.fillStyle = colour("text3");
    context.fillText(power >= 3 ? `${10 ** (power - 3)} s` : power === 0 ? "1 ms" : String(10 ** power), LEFT - 6, at);
  }
  context.textAlign = "center";
  const stepMs = (until - since) / (width > 500 ? 5 : 3);
  for (let at = since + stepMs / 2; at < until; at += stepMs) {
    context.fillText(timeOfDay(at).slice(0, stepMs > 60_000 ? 5 : 8), x(at), height - BOTTOM / 2);
  }
}

function drawLines(context, points, { x, y, width }) {
  const labels = [];
  for (const line of LINES) {
    context.beginPath();
    points.forEach((point, n) => {
      const ms = forPicture(point.of[line.field]) / 1e6;
      const isGap = n && point.at - points[n - 1].at > 30_000;
      if (n && !isGap) context.lineTo(x(point.at), y(ms));
      else context.moveTo(x(point.at), y(ms));
    });
    context.strokeStyle = colour(line.token);
    context.lineWidth = line.width;
    context.setLineDash(line.dash);
    context.stroke();
    labels.push({ line, at: y(forPicture(points.at(-1).of[line.field]) / 1e6) });
  }
  context.setLineDash([]);
  context.textAlign = "left";
  let free = Infinity; // labels keep 12 px from each other, the lowest first
  for (const { line, at } of labels) {
    free = Math.min(at, free - 12);
    context.fillStyle = colour(line.token);
    context.fillText(line.name, width - RIGHT + 6, free);
  }
}

/** How many answers took how long: a bar for each of BARS_MS. answers: of GET /admin/vitals. */
export function drawAnswers(canvas, answers) {
  const { context, width, height } = sizedContext(canvas);
  const counts = BARS_MS.map(() => 0);
  for (const each of answers) {
    counts[BARS_MS.findIndex((edge) => forPicture(each.toNs) / 1e6 <= edge)] += each.count;
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  const named = counts.map((count, n) => count && `${count} ${labelOf(n)}`).filter(Boolean).join(", ");
  setAttr(canvas, "aria-label", `Answers of the last minute by latency: ${total ? named : "none"}`);
  if (!width) return;
  const most = Math.max(...counts, 1);
  const step = (width - 16) / BARS_MS.length;
  context.font = FONT;
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  counts.forEach((count, n) => {
    const left = 8 + n * step;
    const tall = (count / most) * (height - 36);
    context.fillStyle = colour("text3");
    context.fillRect(left + 1, height - 18 - tall, step - 2, Math.max(tall, count ? 1 : 0));
    if (count) context.fillText(count >= 10_000 ? `${Math.round(count / 1000)}k` : String(count), left + step / 2, height - 22 - tall);
    context.fillText(n === BARS_MS.length - 1 ? ">1s" : BARS_MS[n] === 1000 ? "1s" : String(BARS_MS[n]), left + step / 2, height - 5);
  });
}

function labelOf(n) {
  return BARS_MS[n] === Infinity ? "above 1 s" : `up to ${BARS_MS[n]} ms`;
}
