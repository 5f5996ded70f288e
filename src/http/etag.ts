import type { Digest } from "../../crdt/index.ts";
import { InputError } from "../kernel/assert.ts";
import { toHex, Writer } from "../kernel/bytes.ts";
import type { Sha256 } from "../kernel/hashing.ts";

/** How a record is looked at; part of its ETag, because each is another body. */
export type ViewName = "value" | "record" | "siblings" | "int";

/** Of the projection, not of the row: rises when the same row begins to show differently. */
export const POLICY = { name: "lww", version: 1 } as const;

/** 32 hex digits, equal wherever the same dots are live and the same policy holds. Hashed again, because whoever knew
 *  digests could look for sets of rows whose sums collide (replication.md, path 2). */
export function recordTag(sha256: Sha256, digest: Digest): string {
  const out = new Writer().text("etag").text(POLICY.name).uint(POLICY.version).raw(digest);
  return toHex(out.finishInto(sha256).slice(0, 16));
}

export function etag(tag: string, view: ViewName): string {
  return view === "value" ? `"${tag}"` : `"${tag}-${view}"`;
}

/** `If-Match` or `If-None-Match`, parsed. */
export type TagList = "*" | readonly { readonly isWeak: boolean; readonly opaque: string }[];

const MAX_TAGS = 64;

/** Throws InputError `bad-etag`. */
export function parseTags(header: string): TagList {
  if (header.trim() === "*") return "*";
  const parts = header.split(",").map((part) => /^\s*(W\/)?"([\x21\x23-\x7e]*)"\s*$/.exec(part));
  if (parts.length > MAX_TAGS || parts.some((part) => part === null))
    throw new InputError(
      "bad-etag",
      `give "*" or at most ${MAX_TAGS} entity tags as answers carry them, quotes included`,
    );
  return parts.map((part) => ({ isWeak: part?.[1] !== undefined, opaque: part?.[2] ?? "" }));
}

/** Does this record (its tag; null when absent) match? Any view's tag names the record. Strong comparison takes no weak
 *  tags (RFC 9110, 8.8.3.2). */
export function matchesRecord(tags: TagList, tag: string | null, comparison: "strong" | "weak"): boolean {
  if (tag === null) return false;
  if (tags === "*") return true;
  return tags.some(
    ({ isWeak, opaque }) =>
      !(isWeak && comparison === "strong") &&
      (opaque === tag || (opaque.startsWith(tag) && opaque[tag.length] === "-")),
  );
}

/** Is this very representation in the list? For 304. */
export function matchesView(tags: TagList, tag: string, view: ViewName): boolean {
  if (tags === "*") return true;
  const wanted = etag(tag, view);
  return tags.some(({ opaque }) => `"${opaque}"` === wanted);
}
