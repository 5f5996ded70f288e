/** What happened, as it goes into the hash. Order is part of recorded hashes: append only. */
export const EVENT_KINDS = [
  "start",
  "crash",
  "timer",
  "soon",
  "send",
  "datagram",
  "accept",
  "connected",
  "refused",
  "data",
  "drain",
  "closed",
  "request",
  "response",
  "read",
  "commit",
  "durable",
  "log",
  "network",
  "stall",
  "fault",
  "violation",
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];
const CODES = new Map<EventKind, number>(EVENT_KINDS.map((kind, code) => [kind, code]));

/** Lines kept per node for the report of a failure. */
const LINES_PER_NODE = 200;
/** No node: the network, the run itself. */
export const NOBODY = -1;

/** One line of a trace file, as JSON. */
export interface TraceEvent {
  readonly ms: number;
  /** Null: the network, clients, the run itself. */
  readonly node: string | null;
  readonly kind: EventKind;
  readonly detail: string;
  /** Of the bytes involved, where `detail` says something else. */
  readonly hash?: string;
}

interface Line {
  readonly atMs: number;
  readonly kind: EventKind;
  readonly detail: unknown;
}

/** A running hash over every event (its time, node, kind and bytes), and per node the last of them for people. */
export class Trace {
  #high = 0x9747b28c;
  #low = 0x811c9dc5;
  #events = 0;
  readonly #lines = new Map<number, Line[]>();
  /** Hears everything; most runs keep the last events only. */
  onEvent: ((node: number, event: Omit<TraceEvent, "node">) => void) | undefined;
  readonly #time = new Float64Array(1);
  readonly #timeWords = new Uint32Array(this.#time.buffer);

  get events(): number {
    return this.#events;
  }

  /** @param content a hash of the bytes involved, 0 for none @param detail shown to people, formatted only then */
  record(atMs: number, node: number, kind: EventKind, content: number, detail?: unknown): void {
    this.#events++;
    this.#time[0] = atMs;
    this.#mix(this.#timeWords[0] as number);
    this.#mix(this.#timeWords[1] as number);
    this.#mix((CODES.get(kind) as number) | ((node + 1) << 8));
    this.#mix(content);
    this.#keep({ atMs, kind, detail: detail ?? content }, node);
    if (this.onEvent) {
      const hash = detail === undefined || content === 0 ? {} : { hash: content.toString(16) };
      this.onEvent(node, { ms: atMs, kind, detail: textOf(detail ?? content), ...hash });
    }
  }

  #mix(word: number): void {
    this.#low = Math.imul(this.#low ^ word, 0x01000193);
    this.#high = Math.imul(this.#high ^ word ^ (this.#low >>> 15), 0x85ebca6b);
    this.#high ^= this.#high >>> 13;
  }

  #keep(line: Line, node: number): void {
    const lines = this.#lines.get(node);
    if (lines === undefined) this.#lines.set(node, [line]);
    // Cut rarely: one move of many instead of one shift per event.
    else if (lines.push(line) > 2 * LINES_PER_NODE) lines.splice(0, LINES_PER_NODE);
  }

  /** 16 hex digits. Equal for equal runs. */
  hash(): string {
    return [this.#high, this.#low].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }

  /** The last events of a node, oldest first, one a line. */
  lines(node: number): string[] {
    return (this.#lines.get(node) ?? []).slice(-LINES_PER_NODE).map(formatLine);
  }
}

function formatLine({ atMs, kind, detail }: Line): string {
  return `${atMs.toFixed(3).padStart(12)} ${kind.padEnd(9)} ${textOf(detail)}`;
}

function textOf(detail: unknown): string {
  if (typeof detail === "string") return detail;
  return typeof detail === "number" ? (detail >>> 0).toString(16) : json(detail);
}

function json(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return String(value); // cycles, BigInts: a report must not fail over them
  }
}

/** Four bytes a step; not FNV's standard sum, only a fast one. Never 0, so that "no bytes" differs from any bytes. */
export function hashBytes(bytes: Uint8Array): number {
  let hash = 0x811c9dc5 ^ bytes.length;
  const whole = bytes.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    const word =
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24);
    hash = Math.imul(hash ^ word, 0x01000193);
    hash ^= hash >>> 15;
  }
  for (let i = whole; i < bytes.length; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
  return hash >>> 0 || 1;
}

export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0 || 1;
}
