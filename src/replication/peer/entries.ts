import type { Entry } from "../../../crdt/index.ts";
import { decodeEntry } from "../../../crdt/index.ts";
import { InputError } from "../../kernel/assert.ts";

const MAX_BUCKET_LENGTH = 64;
const MAX_KEY_LENGTH = 65_536;
/** Removed dots that are read and applied in one go. More: fewer transactions when much is removed; each million holds up
 *  the loop for a second or two, and takes a peer 23 bytes to name. */
const REMOVES_AT_ONCE = 65_536;

/** A peer's entries, in the parts in which they are to be applied: one, unless they remove very much. Throws InputError on
 *  what is no entry of this cluster's, when it comes to it. */
export function* decodeInParts(bodies: readonly Uint8Array[]): Generator<Entry[]> {
  let part: Entry[] = [];
  let removes = 0;
  for (const body of bodies) {
    const entry = decodeEntry(body);
    if (entry.bucket.length > MAX_BUCKET_LENGTH || entry.key.length > MAX_KEY_LENGTH || entry.bucket.includes("\0"))
      throw new InputError("bad-entry", "an entry's bucket or key is out of bounds");
    part.push(entry);
    removes += entry.removes.length;
    if (removes < REMOVES_AT_ONCE) continue;
    yield part;
    part = [];
    removes = 0;
  }
  if (part.length > 0) yield part;
}
