import {
  bands,
  byId,
  COLOURS,
  canvas,
  endMs,
  events,
  isAlarming,
  kindNo,
  kinds,
  lanes,
  lost,
  messages,
  niceStep,
  pen,
  placeOf,
  QUIET,
  shown,
  startMs,
  state,
  timeText,
  view,
  violations,
} from "./view-page-time.js";

// ---- places on the canvas
export const LEFT = 76;
export const OVERVIEW = 34; // the whole run, above
const AXIS = 24;
export let width = 0;
export let height = 0;
let colours = {};
const xOf = (ms) => LEFT + ((ms - view.from) / (view.to - view.from)) * (width - LEFT);
export const msOf = (x) => view.from + ((x - LEFT) / (width - LEFT)) * (view.to - view.from);
const overviewX = (ms) => LEFT + ((ms - startMs) / (endMs - startMs)) * (width - LEFT);
const CLIENTS = 56; // the first lane: it has no messages
const laneHeight = (lane) =>
  lane === 0 ? CLIENTS : Math.max(40, (height - OVERVIEW - AXIS - CLIENTS) / (lanes.length - 1));
const yOf = (lane) => OVERVIEW + AXIS + (lane === 0 ? CLIENTS / 2 : CLIENTS + (lane - 0.5) * laneHeight(lane));

let isDue = false;
export function redraw() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    draw();
  });
}

export function resize() {
  const box = canvas.parentElement.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  width = box.width;
  height = box.height;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  readColours();
  draw(); // at once: a new size has cleared it
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = [
    "page",
    "panel",
    "ink",
    "faint",
    "line",
    "lane",
    "datagram",
    "data",
    "lost",
    "request",
    "response",
    "refused",
    "commit",
    "log",
    "other",
    "down",
    "stall",
    "cut",
    "downLine",
    "stallLine",
    "cutLine",
    "violation",
    "focus",
  ];
  colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function draw() {
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = colours.page;
  pen.fillRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  drawLanes();
  pen.save();
  pen.beginPath();
  pen.rect(LEFT, OVERVIEW, width - LEFT, height - OVERVIEW);
  pen.clip();
  drawAxis();
  const drawnMessages = drawMessages();
  drawBands();
  drawTicks();
  drawViolations();
  drawCursor();
  pen.restore();
  drawOverview();
  drawNames();
  byId("shown").textContent =
    `${events.length} events · ${timeText(view.from, 1)} – ${timeText(view.to, 1)}${drawnMessages}`;
}

function drawLanes() {
  for (let lane = 0; lane < lanes.length; lane++) {
    pen.fillStyle = lane % 2 === 0 ? colours.lane : colours.page;
    pen.fillRect(0, yOf(lane) - laneHeight(lane) / 2, width, laneHeight(lane));
    pen.fillStyle = colours.line;
    pen.fillRect(LEFT, Math.round(yOf(lane)), width - LEFT, 1);
  }
}

function drawNames() {
  pen.textAlign = "right";
  for (let lane = 0; lane < lanes.length; lane++) {
    pen.fillStyle = colours.ink;
    pen.font = "600 13px system-ui, sans-serif";
    pen.fillText(lanes[lane], LEFT - 12, yOf(lane), LEFT - 16);
  }
  pen.fillStyle = colours.faint;
  pen.font = "11px system-ui, sans-serif";
  pen.fillText("whole run", LEFT - 12, OVERVIEW / 2);
  pen.fillText("time", LEFT - 12, OVERVIEW + AXIS / 2);
}

function drawAxis() {
  const stepMs = niceStep(((view.to - view.from) / (width - LEFT)) * 95);
  pen.textAlign = "left";
  for (let ms = Math.ceil(view.from / stepMs) * stepMs; ms <= view.to; ms += stepMs) {
    const x = Math.round(xOf(ms));
    pen.fillStyle = colours.line;
    pen.fillRect(x, OVERVIEW + 4, 1, height);
    pen.fillStyle = colours.faint;
    pen.fillText(timeText(ms, stepMs), x + 4, OVERVIEW + AXIS / 2);
  }
}

/** Down and stalled fill the lane; cuts are strips at its upper edge, below each other. */
function drawBands() {
  const rows = lanes.map(() => []);
  for (const { lane, what, fromMs, toMs, text } of bands) {
    const half = laneHeight(lane) / 2;
    let row = 0;
    if (what === "cut") {
      row = rows[lane].findIndex((end) => end <= fromMs);
      if (row < 0) row = rows[lane].length;
      rows[lane][row] = toMs;
    }
    if (toMs < view.from || fromMs > view.to) continue;
    const left = Math.max(LEFT, xOf(fromMs));
    const right = Math.max(left + 1.5, Math.min(width, xOf(toMs)));
    const top = yOf(lane) - half + (what === "cut" ? 2 + Math.min(row, 5) * 15 : 0);
    const tall = what === "cut" ? 14 : 2 * half;
    pen.fillStyle = colours[what];
    pen.fillRect(left, top, right - left, tall);
    pen.fillStyle = colours[`${what}Line`];
    pen.fillRect(left, top, 1.5, tall);
    if (xOf(toMs) <= width) pen.fillRect(right - 1, top, 1, tall);
    const room = right - left - 8;
    if (room < 24) continue;
    const y = what === "cut" ? top + 7.5 : yOf(lane) + half - (what === "stall" ? 20 : 8);
    pen.save();
    pen.beginPath();
    pen.rect(left, top, room + 6, tall);
    pen.clip();
    pen.textAlign = "left";
    pen.font = "11px system-ui, sans-serif";
    pen.fillText(text, left + 5, y);
    pen.restore();
  }
}

const MESSAGES_DRAWN = 2000;
const HEADS_DRAWN = 500;
/** Sorted by arrival; none takes longer than this, so that the visible ones are found without a look at all. */
let longestMs = 0;
for (const [send, arrival] of messages) longestMs = Math.max(longestMs, events[arrival][0] - events[send][0]);

function visibleMessages() {
  let low = 0;
  let high = messages.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[messages[middle][1]][0] < view.from) low = middle + 1;
    else high = middle;
  }
  const visible = [];
  for (let i = low; i < messages.length && events[messages[i][1]][0] <= view.to + longestMs; i++) {
    const [send, arrival] = messages[i];
    if (events[send][0] <= view.to && shown[events[arrival][2]] && isFound(send, arrival)) visible.push(messages[i]);
  }
  return visible;
}

export const isFound = (...places) => state.matching === null || places.some((place) => state.matching.has(place));

/** Returns what to tell about those that were left out. */
function drawMessages() {
  const visible = visibleMessages();
  const stride = Math.ceil(visible.length / MESSAGES_DRAWN);
  const withHeads = visible.length <= HEADS_DRAWN;
  for (const kind of ["data", "datagram"]) {
    pen.strokeStyle = pen.fillStyle = colours[kind];
    pen.globalAlpha = Math.max(0.15, Math.min(0.85, 400 / visible.length));
    pen.lineWidth = 1;
    pen.beginPath();
    const heads = [];
    for (let i = 0; i < visible.length; i += stride) {
      const [send, arrival] = visible[i];
      if (kinds[events[arrival][2]] !== kind) continue;
      const line = [xOf(events[send][0]), yOf(events[send][1]), xOf(events[arrival][0]), yOf(events[arrival][1])];
      pen.moveTo(line[0], line[1]);
      pen.lineTo(line[2], line[3]);
      if (withHeads) heads.push(line);
    }
    pen.stroke();
    pen.beginPath();
    for (const line of heads) addHead(...line);
    pen.fill();
  }
  pen.globalAlpha = 1;
  drawLost();
  return stride > 1 ? ` · one message in ${stride} drawn` : "";
}

function addHead(x1, y1, x2, y2) {
  const angle = Math.atan2(y2 - y1, x2 - x1);
  pen.moveTo(x2, y2);
  pen.lineTo(x2 - 8 * Math.cos(angle - 0.35), y2 - 8 * Math.sin(angle - 0.35));
  pen.lineTo(x2 - 8 * Math.cos(angle + 0.35), y2 - 8 * Math.sin(angle + 0.35));
  pen.closePath();
}

/** A short line that ends in a cross. */
function drawLost() {
  if (!shown[kindNo.send]) return;
  const visible = lost.filter((i) => events[i][0] >= view.from && events[i][0] <= view.to && isFound(i));
  if (visible.length > 1500) return;
  pen.strokeStyle = colours.lost;
  pen.lineWidth = 1;
  pen.beginPath();
  for (const i of visible) {
    const [x, y] = [xOf(events[i][0]), yOf(events[i][1])];
    pen.moveTo(x, y);
    pen.lineTo(x + 7, y + 13);
    pen.moveTo(x + 4, y + 10);
    pen.lineTo(x + 10, y + 16);
    pen.moveTo(x + 10, y + 10);
    pen.lineTo(x + 4, y + 16);
  }
  pen.stroke();
}

/** Where on its lane a kind is drawn: [above the line, below it], in pixels. */
function extentOf(name, i) {
  if (name === "request" || name === "response" || name === "refused") return [15, 0];
  if (name === "commit") return [0, 9];
  if (name === "durable") return [0, 14];
  if (name === "log") return isAlarming(i) ? [22, 0] : [9, 0];
  if (name === "crash" || name === "start" || name === "stall") return [24, 24];
  if (QUIET.has(name)) return [3, 3];
  return [5, 5];
}

/** At most one tick per pixel, lane and kind: as many as can be seen. */
function drawTicks() {
  const last = new Map();
  const paths = new Map();
  const until = placeOf(view.to + Number.EPSILON * view.to);
  for (let i = placeOf(view.from); i < until; i++) {
    const [ms, lane, kind] = events[i];
    const name = kinds[kind];
    if (!shown[kind] || name === "violation" || (lane === 0 && name === "timer") || !isFound(i)) continue;
    const isAlarm = isAlarming(i);
    const x = Math.round(xOf(ms));
    const slot = (lane * kinds.length + kind) * 2 + (isAlarm ? 1 : 0);
    if (last.get(slot) === x) continue;
    last.set(slot, x);
    const colour = isAlarm ? "stallLine" : COLOURS[name] || "other";
    if (!paths.has(colour)) paths.set(colour, []);
    paths.get(colour).push([x, yOf(lane), ...extentOf(name, i)]);
  }
  const tickWidth = view.to - view.from < (endMs - startMs) / 20 ? 2 : 1;
  for (const [colour, ticks] of paths) {
    pen.fillStyle = colours[colour];
    for (const [x, y, above, below] of ticks) pen.fillRect(x, y - above, tickWidth, above + below);
  }
}

function drawViolations() {
  pen.textAlign = "left";
  let labelEnd = -Infinity;
  for (const i of violations) {
    const x = xOf(events[i][0]);
    pen.strokeStyle = pen.fillStyle = colours.violation;
    pen.lineWidth = 2;
    pen.setLineDash([5, 3]);
    pen.beginPath();
    pen.moveTo(x, OVERVIEW + AXIS);
    pen.lineTo(x, height);
    pen.stroke();
    pen.setLineDash([]);
    const text = `violated: ${events[i][3].split(":")[0]}`;
    pen.font = "600 12px system-ui, sans-serif";
    const wide = pen.measureText(text).width + 12;
    const left = Math.min(x, width - wide);
    if (x < LEFT || x > width || left < labelEnd) continue;
    labelEnd = left + wide;
    pen.fillRect(left, OVERVIEW + 3, wide, AXIS - 5);
    pen.fillStyle = colours.page;
    pen.fillText(text, left + 6, OVERVIEW + AXIS / 2 + 1);
  }
}

function drawCursor() {
  const x = Math.round(xOf(state.cursorMs)) + 0.5;
  pen.strokeStyle = colours.focus;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(x, OVERVIEW + AXIS);
  pen.lineTo(x, height);
  pen.stroke();
}

const overview = { counts: [], width: 0 };
function drawOverview() {
  const wide = Math.max(1, Math.floor(width - LEFT));
  if (overview.width !== wide) {
    overview.width = wide;
    overview.counts = new Array(wide + 1).fill(0);
    for (const [ms] of events) overview.counts[Math.floor(overviewX(ms) - LEFT)]++;
  }
  const most = Math.max(1, ...overview.counts);
  pen.fillStyle = colours.panel;
  pen.fillRect(LEFT, 0, width, OVERVIEW);
  for (const { what, fromMs, toMs } of bands) {
    pen.fillStyle = colours[what];
    pen.fillRect(overviewX(fromMs), what === "cut" ? 0 : 6, Math.max(1, overviewX(toMs) - overviewX(fromMs)), 5);
  }
  pen.fillStyle = colours.other;
  for (let i = 0; i < overview.counts.length; i++) {
    const tall = Math.sqrt(overview.counts[i] / most) * (OVERVIEW - 14);
    pen.fillRect(LEFT + i, OVERVIEW - 2 - tall, 1, tall);
  }
  pen.fillStyle = colours.violation;
  for (const i of violations) pen.fillRect(overviewX(events[i][0]) - 1, 0, 2, OVERVIEW);
  const [left, right] = [overviewX(view.from), overviewX(view.to)];
  pen.strokeStyle = colours.focus;
  pen.lineWidth = 1.5;
  pen.strokeRect(left + 0.75, 1, Math.max(3, right - left - 1.5), OVERVIEW - 2);
  pen.fillStyle = colours.line;
  pen.fillRect(0, OVERVIEW, width, 1);
}
