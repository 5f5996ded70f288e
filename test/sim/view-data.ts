import { matchMessages } from "./view-messages.ts";

/** A line of a trace file. `node` is a number (negative: the network, clients), a name, or null for nobody. */
interface TraceLine {
  readonly ms: number;
  readonly node?: unknown;
  readonly kind: string;
  readonly detail?: unknown;
  /** Of the bytes, where `detail` says something else. */
  readonly hash?: unknown;
}

export type PageEvent = readonly [ms: number, lane: number, kind: number, text: string];

export interface Band {
  readonly lane: number;
  readonly what: "down" | "stall" | "cut";
  readonly fromMs: number;
  readonly toMs: number;
  readonly text: string;
}

/** All that the page draws. */
export interface PageData {
  /** The first is nobody's: the network and the clients. */
  readonly lanes: readonly string[];
  readonly kinds: readonly string[];
  /** In order of time. */
  readonly events: readonly PageEvent[];
  /** By their places among the events. A send without arrival was lost, or can't be told from others. */
  readonly messages: readonly (readonly [send: number, arrival: number])[];
  readonly lost: readonly number[];
  readonly bands: readonly Band[];
  /** What lines without a time tell: seed, faults, options. */
  readonly about: readonly string[];
}

/** Throws for a line that is no event. */
export function pageData(text: string): PageData {
  const { lines, about } = parseLines(text);
  const lanes = nameLanes(lines);
  const kinds = [...new Set(lines.map(({ kind }) => kind))];
  const at = new Map(kinds.map((kind, i) => [kind, i]));
  const events = lines.map(
    ({ ms, node, kind, detail }): PageEvent => [ms, laneOf(lanes, node), at.get(kind) ?? 0, plainText(detail)],
  );
  const names = lanes.map(({ name }) => name);
  const sightings = lines.map(({ ms, kind, detail, hash }, i) => {
    // A send says its target or its bytes; a name may look like a hash.
    const to = kind === "send" ? targetOf(detail, names) : undefined;
    return { ms, lane: events[i]?.[1] ?? 0, kind, hash: hashOf(to === undefined ? (hash ?? detail) : hash), to };
  });
  return { lanes: names, kinds, events, ...matchMessages(sightings), bands: bandsOf(events, kinds, names), about };
}

function parseLines(text: string): { lines: TraceLine[]; about: string[] } {
  const lines: TraceLine[] = [];
  const about: string[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const value = parseObject(line, i + 1);
    if (typeof value.ms === "number" && typeof value.kind === "string") lines.push(value as unknown as TraceLine);
    else if ("ms" in value) throw new Error(`line ${i + 1}: an event has a number "ms" and a text "kind"`);
    else about.push(...Object.entries(value).map(([name, what]) => `${name}: ${asText(what)}`));
  }
  lines.sort((a, b) => a.ms - b.ms);
  return { lines, about };
}

function parseObject(line: string, number: number): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // told below
  }
  throw new Error(`line ${number} is no JSON object`);
}

// ---- lanes

interface Lane {
  readonly id: string;
  readonly name: string;
}

const isNobody = (node: unknown): boolean =>
  node === undefined || node === null || node === "" || (typeof node === "number" && node < 0);

/** Numbers in their order, names as they come; a number has the name that its `start` tells. */
function nameLanes(lines: readonly TraceLine[]): Lane[] {
  const names = new Map<string, string>();
  const ids = new Set<string>();
  for (const { node, kind, detail } of lines) {
    if (isNobody(node)) continue;
    ids.add(String(node));
    if (kind === "start" && typeof node === "number" && typeof detail === "string") names.set(String(node), detail);
  }
  const inOrder = [...ids].sort((a, b) => Number(a) - Number(b) || 0);
  return [{ id: "", name: "clients" }, ...inOrder.map((id) => ({ id, name: names.get(id) ?? `node ${id}` }))].map(
    (lane) => (/^\d+$/.test(lane.id) || lane.id === "" ? lane : { ...lane, name: lane.id }),
  );
}

function laneOf(lanes: readonly Lane[], node: unknown): number {
  if (isNobody(node)) return 0;
  return lanes.findIndex(({ id }) => id === String(node));
}

// ---- details

/** A number is a hash of bytes, 0 none: as the trace's own report shows it. */
function plainText(detail: unknown): string {
  if (detail === undefined || detail === null || detail === 0 || detail === "0") return "";
  if (typeof detail === "string") return fieldsIn(detail) ?? detail;
  if (typeof detail === "number") return detail.toString(16);
  if (typeof detail !== "object" || Array.isArray(detail)) return JSON.stringify(detail);
  const { level, event, invariant, text, ...rest } = detail as Record<string, unknown>;
  const first = [level, event, invariant === undefined ? undefined : `${invariant}:`, text].filter((part) => part);
  const fields = Object.entries(rest).map(([name, value]) => {
    return `${name}=${asText(value)}`;
  });
  return [...first, ...fields].join(" ");
}

/** Log lines come as text that is JSON. */
function fieldsIn(text: string): string | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    return plainText(JSON.parse(text));
  } catch {
    return undefined;
  }
}

const asText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

function hashOf(value: unknown): string | undefined {
  if (typeof value === "number") return value === 0 ? undefined : value.toString(16);
  return typeof value === "string" && /^[0-9a-f]{1,8}$/.test(value) && value !== "0" ? value : undefined;
}

function targetOf(detail: unknown, names: readonly string[]): number | undefined {
  const lane = names.indexOf(String(detail));
  return lane < 1 ? undefined : lane;
}

// ---- bands

/** From what begins something and what ends it. */
function bandsOf(events: readonly PageEvent[], kinds: readonly string[], names: readonly string[]): Band[] {
  const endMs = events.at(-1)?.[0] ?? 0;
  const bands: Band[] = [];
  const down = new Map<number, PageEvent>();
  let cuts: { readonly ends: readonly [string, string]; readonly fromMs: number; readonly text: string }[] = [];
  const endDown = (lane: number, toMs: number): void => {
    const crash = down.get(lane);
    if (crash) bands.push({ lane, what: "down", fromMs: crash[0], toMs, text: `down (${crash[3] || "crash"})` });
    down.delete(lane);
  };
  const endCuts = (toMs: number, isHealed: (ends: readonly [string, string]) => boolean): void => {
    for (const { ends, fromMs, text } of cuts.filter((cut) => isHealed(cut.ends)))
      for (const lane of lanesBetween(ends, names)) bands.push({ lane, what: "cut", fromMs, toMs, text });
    cuts = cuts.filter((cut) => !isHealed(cut.ends));
  };
  for (const event of events) {
    const [ms, lane, kind, text] = event;
    const [verb, a, b, way] = text.split(" ");
    if (kinds[kind] === "crash") down.set(lane, event);
    else if (kinds[kind] === "start") endDown(lane, ms);
    else if (kinds[kind] === "stall") {
      const forMs = Number.parseFloat(text) || 0;
      bands.push({ lane, what: "stall", fromMs: ms, toMs: ms + forMs, text: `stalled ${Math.round(forMs)} ms` });
    } else if (kinds[kind] === "network" && verb === "cut" && a && b) {
      const between = `${way === "one-way" ? "→" : "–"} ${b === "*" ? "all" : b}`;
      cuts.push({ ends: [a, b], fromMs: ms, text: `cut ${a === "*" ? "all" : a} ${between}` });
    } else if (kinds[kind] === "network" && verb === "heal")
      endCuts(ms, (ends) => !a || !b || (ends.includes(a) && ends.includes(b)));
  }
  for (const lane of [...down.keys()]) endDown(lane, endMs);
  endCuts(endMs, () => true);
  return bands.sort((one, other) => one.fromMs - other.fromMs);
}

/** The lanes on both sides of a cut. Its ends are nodes, regions (a node's name begins with its own), or all (`*`). */
function lanesBetween(ends: readonly [string, string], names: readonly string[]): number[] {
  const isNamed = (name: string, end: string): boolean =>
    end === "*" || name === end || (name.startsWith(end) && /^\d+$/.test(name.slice(end.length)));
  return names.flatMap((name, lane) => (lane > 0 && ends.some((end) => isNamed(name, end)) ? [lane] : []));
}
