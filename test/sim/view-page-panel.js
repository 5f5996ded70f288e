import { isFound, LEFT, msOf, OVERVIEW, redraw, resize, width } from "./view-page-canvas.js";
import {
  bands,
  byId,
  COLOURS,
  canvas,
  counts,
  data,
  endMs,
  events,
  isAlarming,
  kindNo,
  kinds,
  lanes,
  lost,
  messages,
  placeOf,
  QUIET,
  shown,
  startMs,
  state,
  timeText,
  view,
  violations,
} from "./view-page-time.js";

// ---- the list of events near the cursor
const ROWS = 120;
function isListed(i) {
  return shown[events[i][2]] && isFound(i);
}

/** Half of them before the cursor, half after. */
function nearest() {
  const middle = placeOf(state.cursorMs);
  const places = [];
  for (let i = middle - 1; i >= 0 && places.length < ROWS / 2; i--) if (isListed(i)) places.unshift(i);
  for (let i = middle; i < events.length && places.length < ROWS; i++) if (isListed(i)) places.push(i);
  return places;
}

const arrivalOf = new Map();
const sendOf = new Map();
for (const [send, arrival] of messages) {
  if (!arrivalOf.has(send)) arrivalOf.set(send, arrival);
  sendOf.set(arrival, send);
}
const lostSends = new Set(lost);

function textOf(i) {
  const [ms, , kind, text] = events[i];
  // Where it goes stands behind the arrow.
  const bytes = kinds[kind] === "send" && lanes.includes(text) ? "" : text;
  if (arrivalOf.has(i)) {
    const [arrivedMs, lane] = events[arrivalOf.get(i)];
    return `${bytes} → ${lanes[lane]} after ${(arrivedMs - ms).toFixed(1)} ms`.trim();
  }
  if (sendOf.has(i)) {
    const [sentMs, lane] = events[sendOf.get(i)];
    return `${bytes} ← ${lanes[lane]}, sent ${(ms - sentMs).toFixed(1)} ms ago`;
  }
  return lostSends.has(i) ? `${bytes === text ? text : `→ ${text}`} (never seen again)` : text;
}

function list() {
  const places = nearest();
  let near = -1;
  for (const i of places)
    if (near < 0 || Math.abs(events[i][0] - state.cursorMs) < Math.abs(events[near][0] - state.cursorMs)) near = i;
  const rows = places.map((i) => {
    const [ms, lane, kind] = events[i];
    const row = document.createElement("tr");
    row.className = `${kinds[kind] === "violation" ? "violation " : ""}${i === near ? "near" : ""}`;
    for (const text of [(ms / 1000).toFixed(6), lane === 0 ? "" : lanes[lane], kinds[kind], textOf(i)]) {
      row.appendChild(document.createElement("td")).textContent = text;
    }
    const cell = row.children[2];
    cell.style.color = `var(--${isAlarming(i) ? "stallLine" : COLOURS[kinds[kind]] || "other"})`;
    row.onclick = () => goTo(ms, true);
    return row;
  });
  byId("rows").replaceChildren(...rows);
  byId("where").textContent =
    `events near ${(state.cursorMs / 1000).toFixed(4)} s${state.isPinned ? " · pinned: click the timeline to follow the pointer" : " · click to pin"}`;
  const row = byId("rows").querySelector(".near");
  if (row) byId("list").scrollTop = row.offsetTop - byId("list").clientHeight / 2;
}

let isListDue = false;
function relist() {
  if (isListDue) return;
  isListDue = true;
  requestAnimationFrame(() => {
    isListDue = false;
    list();
  });
}

function setCursor(ms) {
  state.cursorMs = Math.min(endMs, Math.max(startMs, ms));
  redraw();
  relist();
}

/** Shows a moment, in the middle when it is out of sight. */
function goTo(ms, isPin) {
  if (isPin) state.isPinned = true;
  const half = (view.to - view.from) / 2;
  if (ms < view.from || ms > view.to) show(ms - half, ms + half);
  setCursor(ms);
}

// ---- zoom and pan
function show(from, to) {
  const span = Math.min(endMs - startMs, Math.max(0.05, to - from));
  const middle = (from + to) / 2;
  view.from = Math.max(startMs, Math.min(endMs - span, middle - span / 2));
  view.to = view.from + span;
  redraw();
}

function zoom(factor, aroundMs) {
  show(aroundMs - (aroundMs - view.from) * factor, aroundMs + (view.to - aroundMs) * factor);
}

let drag = null;
canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const isPan = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const span = view.to - view.from;
    if (isPan)
      show(
        view.from + ((event.deltaX || event.deltaY) / width) * span,
        view.to + ((event.deltaX || event.deltaY) / width) * span,
      );
    else zoom(Math.exp(Math.max(-120, Math.min(120, event.deltaY)) * 0.004), msOf(Math.max(LEFT, event.offsetX)));
  },
  { passive: false },
);
canvas.addEventListener("pointerdown", (event) => {
  canvas.focus();
  canvas.setPointerCapture(event.pointerId);
  drag = { x: event.offsetX, from: view.from, to: view.to, isOverview: event.offsetY < OVERVIEW, hasMoved: false };
  if (drag.isOverview) moveOverview(event.offsetX);
});
canvas.addEventListener("pointermove", (event) => {
  if (drag === null) {
    if (!state.isPinned && event.offsetX > LEFT && event.offsetY > OVERVIEW) setCursor(msOf(event.offsetX));
    return;
  }
  if (drag.isOverview) {
    moveOverview(event.offsetX);
    return;
  }
  const moved = event.offsetX - drag.x;
  if (Math.abs(moved) > 3) drag.hasMoved = true;
  const ms = (moved / (width - LEFT)) * (drag.to - drag.from);
  if (drag.hasMoved) show(drag.from - ms, drag.to - ms);
});
canvas.addEventListener("pointerup", (event) => {
  const isClick = drag !== null && !drag.hasMoved && !drag.isOverview && event.offsetX > LEFT;
  drag = null;
  if (!isClick) return;
  state.isPinned = !state.isPinned;
  setCursor(msOf(event.offsetX));
});
canvas.addEventListener("pointercancel", () => {
  drag = null;
});
canvas.addEventListener("dblclick", (event) => zoom(0.25, msOf(event.offsetX)));

function moveOverview(x) {
  const ms = startMs + ((x - LEFT) / (width - LEFT)) * (endMs - startMs);
  const half = (view.to - view.from) / 2;
  show(ms - half, ms + half);
}

/** What came before it matters most. */
function goToViolation(i) {
  const [ms] = events[i];
  if (view.to - view.from > 5_000) show(ms - 4_000, ms + 500);
  goTo(ms, true);
}

let violationNo = -1;
function nextViolation() {
  if (violations.length === 0) return;
  violationNo = (violationNo + 1) % violations.length;
  goToViolation(violations[violationNo]);
}

const KEYS = {
  "+": () => zoom(0.5, state.cursorMs),
  "=": () => zoom(0.5, state.cursorMs),
  "-": () => zoom(2, state.cursorMs),
  0: () => show(startMs, endMs),
  v: nextViolation,
  n: () => step(1),
  p: () => step(-1),
  ArrowLeft: () => show(view.from - (view.to - view.from) / 8, view.to - (view.to - view.from) / 8),
  ArrowRight: () => show(view.from + (view.to - view.from) / 8, view.to + (view.to - view.from) / 8),
  Home: () => show(startMs, startMs + view.to - view.from),
  End: () => show(endMs - (view.to - view.from), endMs),
};
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT" && event.target.type === "search") return;
  const act = KEYS[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
});

// ---- filters
function step(by) {
  let i = by > 0 ? placeOf(state.cursorMs + 1e-6) : placeOf(state.cursorMs) - 1;
  while (i >= 0 && i < events.length && !isListed(i)) i += by;
  if (i >= 0 && i < events.length) goTo(events[i][0], true);
}

function makeFilters() {
  const all = document.createElement("button");
  all.className = "all";
  all.textContent = "all / few";
  const boxes = kinds.map((kind, i) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = shown[i];
    box.onchange = () => {
      shown[i] = box.checked;
      redraw();
      relist();
    };
    const name = document.createElement("span");
    name.textContent = kind;
    name.style.color = `var(--${COLOURS[kind] || "ink"})`;
    const count = document.createElement("span");
    count.className = "faint";
    count.textContent = String(counts[i]);
    label.append(box, name, count);
    return { label, box };
  });
  all.onclick = () => {
    const isAll = shown.every(Boolean);
    kinds.forEach((kind, i) => {
      shown[i] = boxes[i].box.checked = isAll ? !QUIET.has(kind) : true;
    });
    redraw();
    relist();
  };
  byId("kinds").append(...boxes.map(({ label }) => label), all);
}

byId("search").addEventListener("input", () => {
  const query = byId("search").value.toLowerCase();
  state.matching = null;
  if (query !== "") {
    state.matching = new Set();
    events.forEach(([, lane, kind, text], i) => {
      if (`${lanes[lane]} ${kinds[kind]} ${text}`.toLowerCase().includes(query)) state.matching.add(i);
    });
  }
  byId("found").textContent = state.matching === null ? "" : `${state.matching.size} found`;
  redraw();
  relist();
});
byId("next").onclick = () => step(1);
byId("prev").onclick = () => step(-1);

// ---- words
function makeLegend() {
  const has = (...names) => names.some((name) => name in kindNo);
  const keys = [
    [has("datagram"), "datagram", "gossip datagram", "line"],
    [has("data"), "data", "stream data", "line"],
    [lost.length > 0, "lost", "sent, never seen again", "cross"],
    [has("request", "response"), "request", "client request (node), answer (clients)", "tick"],
    [has("refused", "closed"), "refused", "refused or closed", "tick"],
    [has("commit"), "commit", "commit, then durable", "tick"],
    [has("log"), "log", "log line", "tick"],
    [has("log"), "stallLine", "warning or error", "tick"],
    [bands.some(({ what }) => what === "cut"), "cut", "cut off", "band"],
    [bands.some(({ what }) => what === "stall"), "stall", "stalled", "band"],
    [bands.some(({ what }) => what === "down"), "down", "process down", "band"],
    [violations.length > 0, "violation", "violated invariant", "dash"],
  ];
  for (const [isThere, colour, text, form] of keys) {
    if (!isThere) continue;
    const key = document.createElement("span");
    key.className = "key";
    const sign = document.createElement("i");
    const paint = `var(--${colour})`;
    if (form === "band") sign.style.cssText = `background:${paint};border-left:2px solid var(--${colour}Line)`;
    else if (form === "dash") sign.style.cssText = `width:0;border-left:2px dashed ${paint};height:1rem`;
    else if (form === "tick") sign.style.cssText = `width:3px;background:${paint}`;
    else if (form === "cross") {
      sign.style.cssText = `width:auto;height:auto;font-style:normal;color:${paint}`;
      sign.textContent = "✕";
    } else sign.style.cssText = `height:0;border-top:2px solid ${paint}`;
    key.append(sign, text);
    byId("legend").append(key);
  }
  const help = document.createElement("span");
  help.className = "faint";
  help.textContent = "wheel: zoom · drag: pan · + − 0: in, out, all · n p: next, previous event · v: violation";
  byId("legend").append(help);
}

byId("about").textContent = data.about.join(" · ");
for (const i of violations) {
  const button = document.createElement("button");
  button.textContent = `${timeText(events[i][0], 1)}  ${events[i][3]}`;
  button.onclick = () => goToViolation(i);
  byId("violations").append(button);
}
makeFilters();
makeLegend();
/** `#at=1234&from=1000&to=2000`, in milliseconds: a link to a moment. */
const asked = Object.fromEntries(
  [...new URLSearchParams(location.hash.slice(1))].map(([name, ms]) => [name, Number(ms)]),
);
if (asked.to > asked.from) show(asked.from, asked.to);
if (asked.at >= 0) state.cursorMs = asked.at;
new ResizeObserver(resize).observe(canvas.parentElement);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", resize);
resize();
relist();
