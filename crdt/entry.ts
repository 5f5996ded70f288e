import { assert, InputError } from "../src/kernel/assert.ts";
import { Reader, Writer } from "../src/kernel/bytes.ts";
import type { ActorId } from "../src/kernel/ids.ts";
import { parseActorId } from "../src/kernel/ids.ts";
import type { Content } from "./content.ts";
import { readContent, writeContent } from "./content.ts";
import type { Dot } from "./dot.ts";
import { readDots, writeDots } from "./dot.ts";
import type { Stamp } from "./hlc.ts";
import { readStamp, writeStamp } from "./hlc.ts";
import type { Cell } from "./row.ts";
import { CLOSED } from "./version-vector.ts";

/** One write in a partition's log: exactly the dots it adds and the dots it removes (data.md, Log entries). Its n adds
 *  take the dots first … first+n-1; a pure removal takes `first`, so it has an author, a time and a place. */
export interface Entry {
  readonly actor: ActorId;
  readonly first: number;
  readonly bucket: string;
  readonly key: string;
  readonly adds: readonly Add[];
  readonly removes: readonly Dot[];
  readonly stamp: Stamp;
}

export interface Add {
  readonly path: readonly string[];
  readonly content: Content;
}

/** At most this many adds in one entry; more than any request may carry. */
export const MAX_ADDS = 65_536;
/** At most this many dots that one entry removes: a larger removal is several entries. More would let a few bytes of a
 *  peer hold up the loop for longer (65,536 take some 0.1 s to read and apply). */
export const MAX_REMOVES = 65_536;
export const MAX_DEPTH = 16;

export function lastSeq(entry: Entry): number {
  return entry.first + Math.max(0, entry.adds.length - 1);
}

export function addedCells(entry: Entry): Cell[] {
  return entry.adds.map(({ path, content }, i) => ({
    dot: { actor: entry.actor, seq: entry.first + i },
    path,
    content,
    stamp: entry.stamp,
  }));
}

const VERSION = 1;

export function encodeEntry(entry: Entry): Uint8Array {
  assert(entry.removes.length <= MAX_REMOVES, "a removal that is too large for one entry is written as several");
  const out = new Writer();
  out.u8(VERSION).text(entry.actor).uint(entry.first).text(entry.bucket).text(entry.key);
  writeStamp(out, entry.stamp);
  out.uint(entry.adds.length);
  for (const { path, content } of entry.adds) {
    writePath(out, path);
    writeContent(out, content);
  }
  writeDots(out, entry.removes);
  return out.finish();
}

/** Throws InputError on anything but what `encodeEntry` makes. */
export function decodeEntry(bytes: Uint8Array): Entry {
  const input = new Reader(bytes);
  if (input.u8() !== VERSION) throw new InputError("bad-encoding", "unknown version of an entry");
  const actor = parseActorId(input.text());
  const first = input.uint();
  const bucket = input.text();
  const key = input.text();
  const stamp = readStamp(input);
  const adds: Add[] = [];
  const count = input.count(2);
  // Its last seq stays below the one that a closed actor's vector shows.
  if (first < 1 || count > MAX_ADDS || first + Math.max(1, count) > CLOSED)
    throw new InputError("bad-encoding", "an entry starts at 1 and adds at most 65,536 dots");
  for (let i = 0; i < count; i++) adds.push({ path: readPath(input), content: readContent(input) });
  const removes = readDots(input, MAX_REMOVES);
  input.end();
  if (removes.some((dot) => dot.actor === actor && dot.seq >= first))
    throw new InputError("bad-encoding", "an entry removes only dots of earlier entries");
  return { actor, first, bucket, key, adds, removes, stamp };
}

export function writePath(out: Writer, path: readonly string[]): void {
  out.uint(path.length);
  for (const field of path) out.text(field);
}

export function readPath(input: Reader): string[] {
  const length = input.count(1);
  if (length > MAX_DEPTH) throw new InputError("bad-encoding", `maps nest at most ${MAX_DEPTH} deep`);
  return Array.from({ length }, () => input.text());
}
