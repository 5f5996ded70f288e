import { InputError } from "../src/kernel/assert.ts";
import type { Reader, Writer } from "../src/kernel/bytes.ts";

/** Hybrid logical clock (Kulkarni et al. 2014): 48 bits of ms, 16 of counter. For display, projection by last writer
 *  and reading the past; causality is never read from it. */
export interface Hlc {
  readonly ms: number;
  readonly counter: number;
}

const MAX_MS = 2 ** 48 - 1;
const MAX_COUNTER = 2 ** 16 - 1;

export const HLC_ZERO: Hlc = { ms: 0, counter: 0 };

export function compareHlc(a: Hlc, b: Hlc): number {
  return a.ms - b.ms || a.counter - b.counter;
}

/** The stamp of a local event: above `last`, at the wall where that is ahead. A full counter goes to the next ms. */
export function tickHlc(last: Hlc, wallMs: number): Hlc {
  const ms = Math.min(MAX_MS, Math.max(0, Math.floor(wallMs)));
  if (ms > last.ms) return { ms, counter: 0 };
  if (last.counter < MAX_COUNTER) return { ms: last.ms, counter: last.counter + 1 };
  return { ms: last.ms + 1, counter: 0 };
}

/** After a remote stamp was seen. One further ahead of the wall than `maxDriftMs` doesn't drag the local clock along. */
export function observeHlc(last: Hlc, remote: Hlc, wallMs: number, maxDriftMs: number): Hlc {
  if (remote.ms > wallMs + maxDriftMs) return last;
  return compareHlc(remote, last) > 0 ? remote : last;
}

/** What is known of a write besides its effect. All dots of an entry share one. */
export interface Stamp {
  readonly hlc: Hlc;
  /** The principal that wrote. */
  readonly author: string;
  readonly reason?: string;
  /** Written by a node whose clock was off: loses under last-writer-wins against one that isn't. */
  readonly suspect: boolean;
}

export function writeStamp(out: Writer, stamp: Stamp): void {
  out.uint(stamp.hlc.ms).uint(stamp.hlc.counter);
  out.u8((stamp.suspect ? 1 : 0) | (stamp.reason === undefined ? 0 : 2)).text(stamp.author);
  if (stamp.reason !== undefined) out.text(stamp.reason);
}

export function readStamp(input: Reader): Stamp {
  const hlc = { ms: input.uint(), counter: input.uint() };
  const flags = input.u8();
  if (hlc.ms > MAX_MS || hlc.counter > MAX_COUNTER || flags > 3)
    throw new InputError("bad-encoding", "malformed stamp");
  const author = input.text();
  const suspect = (flags & 1) !== 0;
  return (flags & 2) === 0 ? { hlc, author, suspect } : { hlc, author, reason: input.text(), suspect };
}
