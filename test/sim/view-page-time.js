export const data = JSON.parse(document.getElementById("data").textContent);
export const { lanes, kinds, events, messages, lost, bands } = data;
export const byId = (id) => document.getElementById(id);
export const canvas = byId("canvas");
export const pen = canvas.getContext("2d");

// ---- what is known of each kind
export const QUIET = new Set(["timer", "soon", "drain", "read"]); // not shown at first: frequent, and they tell little
export const COLOURS = {
  send: "datagram",
  datagram: "datagram",
  data: "data",
  request: "request",
  response: "response",
  refused: "refused",
  closed: "refused",
  commit: "commit",
  durable: "commit",
  log: "log",
  crash: "downLine",
  start: "request",
  stall: "stallLine",
  network: "cutLine",
  fault: "stallLine",
  violation: "violation",
};
export const kindNo = Object.fromEntries(kinds.map((kind, i) => [kind, i]));
export const counts = kinds.map(() => 0);
for (const [, , kind] of events) counts[kind]++;
export const shown = kinds.map((kind) => !QUIET.has(kind));
export const violations = events.flatMap(([, , kind], i) => (kinds[kind] === "violation" ? [i] : []));
export const isAlarming = (i) => kinds[events[i][2]] === "log" && /^(?:warn|error)\b/.test(events[i][3]);

// ---- time
export const startMs = events.length > 0 ? events[0][0] : 0;
export const endMs = Math.max(startMs + 1, events.length > 0 ? events[events.length - 1][0] : 1);
export const view = { from: startMs, to: endMs };
/** What the reader has chosen. */
export const state = {
  cursorMs: violations.length > 0 ? events[violations[0]][0] : startMs,
  isPinned: true,
  /** Places of the events with the text searched for; null: no text. */
  matching: null,
};

/** First place whose time is not before `ms`. */
export function placeOf(ms) {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle][0] < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** As many digits as tell two pixels apart. */
export function timeText(ms, stepMs) {
  if (stepMs < 1) return `${ms.toFixed(Math.min(3, Math.ceil(-Math.log10(stepMs))))} ms`;
  if (ms < 1000 && stepMs < 1000 && view.to <= 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  const digits = Math.max(0, Math.min(3, Math.ceil(-Math.log10(stepMs / 1000) - 1e-9)));
  if (seconds < 60) return `${seconds.toFixed(digits)} s`;
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(digits).padStart(digits > 0 ? 3 + digits : 2, "0")} min`;
}

export function niceStep(leastMs) {
  if (leastMs > 20_000)
    return (
      [30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 86_400_000].find(
        (step) => step >= leastMs,
      ) || 604_800_000
    );
  const power = 10 ** Math.floor(Math.log10(leastMs));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= leastMs);
}
