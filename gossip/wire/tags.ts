import { InputError } from "../../src/kernel/assert.ts";
import { fromUtf8 } from "../../src/kernel/bytes.ts";
import { MAX_META_BYTES } from "./messages.ts";
import { MsgpackReader, MsgpackWriter } from "./msgpack.ts";

/** serf's first byte of metadata that are tags; anything else is the bare role of serf before 0.4. */
const TAGS = 0xff;
const MAX_TAGS = 128;

/** Metadata as `serf members` shows it: ff and a map of text to text, in the map's order.
 *  Throws InputError above 512 bytes: every member stores and repeats it. */
export function encodeTags(tags: ReadonlyMap<string, string>): Uint8Array {
  const out = new MsgpackWriter().plainByte(TAGS).map(tags.size);
  for (const [tag, value] of tags) out.text(tag).text(value);
  const bytes = out.finish();
  if (bytes.length > MAX_META_BYTES)
    throw new InputError(
      "metadata-too-large",
      `a member's metadata take ${bytes.length} bytes; at most ${MAX_META_BYTES}. Shorten its tags`,
    );
  return bytes;
}

/** A foreign member's metadata. Total: what can't be read gives no tags, and the member counts all the same. */
export function decodeTags(meta: Uint8Array): ReadonlyMap<string, string> {
  const tags = new Map<string, string>();
  if (meta.length === 0) return tags;
  try {
    if (meta[0] !== TAGS) return tags.set("role", fromUtf8(meta));
    const reader = new MsgpackReader(meta, 1);
    const count = reader.map(MAX_TAGS);
    for (let i = 0; i < count; i++) {
      const tag = reader.text(MAX_META_BYTES);
      tags.set(tag, reader.text(MAX_META_BYTES));
    }
    return tags;
  } catch (error) {
    if (error instanceof InputError) return new Map();
    throw error;
  }
}
