import { InputError } from "../src/kernel/assert.ts";
import type { Reader, Writer } from "../src/kernel/bytes.ts";
import { compareText } from "../src/kernel/bytes.ts";
import type { ActorId, Branded } from "../src/kernel/ids.ts";
import { parseActorId } from "../src/kernel/ids.ts";

/** (actor, partition sequence): names one value for ever (I2). Sequences count from 1. */
export interface Dot {
  readonly actor: ActorId;
  readonly seq: number;
}

/** A dot as a map key, and as people see it: `node@start.random:seq`. */
export type DotKey = Branded<string, "DotKey">;

export function dotKey(dot: Dot): DotKey {
  return `${dot.actor}:${dot.seq}` as DotKey;
}

export function parseDotKey(text: string): Dot {
  const colon = text.lastIndexOf(":");
  const seq = Number(text.slice(colon + 1));
  if (colon < 0 || !Number.isSafeInteger(seq) || seq < 1 || String(seq) !== text.slice(colon + 1))
    throw new InputError("bad-dot", "a dot looks like node@start.random:7");
  return { actor: parseActorId(text.slice(0, colon)), seq };
}

export function compareDots(a: Dot, b: Dot): number {
  return compareText(a.actor, b.actor) || a.seq - b.seq;
}

/** Dots as runs of consecutive sequences per actor: the one canonical form, whatever order they come in. */
export function writeDots(out: Writer, dots: readonly Dot[]): void {
  if (dots.length === 1) {
    // What most writes list.
    const { actor, seq } = dots[0] as Dot;
    out.uint(1).text(actor).uint(1).uint(seq).uint(1);
    return;
  }
  const sorted = inOrder(dots);
  let actors = 0;
  for (let i = 0; i < sorted.length; i++) if (sorted[i]?.actor !== sorted[i - 1]?.actor) actors += 1;
  out.uint(actors);
  for (let from = 0; from < sorted.length; ) {
    let to = from + 1;
    while (to < sorted.length && sorted[to]?.actor === sorted[from]?.actor) to += 1;
    writeRuns(out, to - from === sorted.length ? sorted : sorted.slice(from, to));
    from = to;
  }
}

/** The dots of one actor. */
function writeRuns(out: Writer, dots: readonly Dot[]): void {
  const runs: number[] = []; // first, length, first, length …
  for (const { seq } of dots) {
    const last = runs.length - 2;
    const end = last < 0 ? 0 : (runs[last] as number) + (runs[last + 1] as number);
    if (last >= 0 && seq === end) runs[last + 1] = (runs[last + 1] as number) + 1;
    else if (seq > end) runs.push(seq, 1);
  }
  out.text((dots[0] as Dot).actor).uint(runs.length / 2);
  let above = 0; // each run starts at least two above the end of the one before it: else they were one run
  for (let i = 0; i < runs.length; i += 2) {
    const first = runs[i] as number;
    const length = runs[i + 1] as number;
    out.uint(first - above).uint(length);
    above = first + length;
  }
}

/** Most lists come in order, and to sort them would cost more than all else that is done with them. */
function inOrder(dots: readonly Dot[]): readonly Dot[] {
  for (let i = 1; i < dots.length; i++)
    if (compareDots(dots[i - 1] as Dot, dots[i] as Dot) > 0) return [...dots].sort(compareDots);
  return dots;
}

/** At most this many dots in one list: a row of 4 MiB holds fewer. */
export const MAX_DOTS = 1_000_000;

/** Runs name many dots in few bytes: what comes from a peer is read with a `maxDots` that its sender keeps. */
export function readDots(input: Reader, maxDots: number = MAX_DOTS): Dot[] {
  const dots: Dot[] = [];
  let before = "";
  for (let actors = input.count(4); actors > 0; actors--) {
    const actor = parseActorId(input.text());
    if (compareText(before, actor) >= 0) throw new InputError("bad-encoding", "actors of dots are not in order");
    before = actor;
    const runs = input.count(2);
    if (runs === 0) throw new InputError("bad-encoding", "an actor without dots");
    let above = 0;
    for (let i = 0; i < runs; i++) {
      const first = above + input.uint();
      const length = input.uint();
      const touches = i > 0 && first === above;
      if (first < 1 || length < 1 || touches || dots.length + length > maxDots || !Number.isSafeInteger(first + length))
        throw new InputError("bad-encoding", "malformed run of dots");
      for (let seq = first; seq < first + length; seq++) dots.push({ actor, seq });
      above = first + length;
    }
  }
  return dots;
}
