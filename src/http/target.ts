import { InputError } from "../kernel/assert.ts";
import { fromBase64Url, fromUtf8, isWellFormed, utf8 } from "../kernel/bytes.ts";
import type { RowKey } from "../storage/store.ts";
import { type Call, parseQuery, percentDecode, type Query } from "./call.ts";

/** What stands behind `/v1/kv` and its like. */
export interface Target {
  readonly bucket: string | null;
  readonly key: string | null;
  readonly query: Query;
}

const BUCKET = /^[a-z0-9._-]{1,64}$/;

/** Cuts `{family}/{bucket}/{key…}` from the raw path: the key is all that follows, slashes included. A key that a URL
 *  can't carry (empty, with `.` or `..` segments) comes as `?key64=`. */
export function targetOf(call: Call, family: string): Target {
  const query = parseQuery(call.search);
  const rest = call.path.slice(family.length + 1);
  if (rest === "") return { bucket: null, key: null, query };
  const slash = rest.indexOf("/");
  const bucket = checkBucket(percentDecode(slash < 0 ? rest : rest.slice(0, slash), "bad-bucket"));
  const raw = slash < 0 ? "" : rest.slice(slash + 1);
  const key64 = query.get("key64");
  if (key64 === undefined) return { bucket, key: raw === "" ? null : percentDecode(raw, "bad-key"), query };
  if (raw !== "") throw new InputError("bad-key", "give the key in the path or as key64, not both");
  return { bucket, key: decodeKey64(key64), query };
}

/** Throws `bad-bucket`, `reserved-bucket`. */
export function checkBucket(bucket: string): string {
  if (BUCKET.test(bucket)) return bucket;
  if (bucket.startsWith("$"))
    throw new InputError("reserved-bucket", "buckets that start with $ are the system's: choose another name");
  throw new InputError(
    "bad-bucket",
    `a bucket's name is 1 to 64 of a-z 0-9 . _ -; this is ${JSON.stringify(bucket.slice(0, 80))}`,
  );
}

/** Throws `bad-key`, `key-too-large`. */
export function checkKey(key: string, keyBytes: number): string {
  if (key === "") throw new InputError("bad-key", "a key has at least one byte");
  if (!isWellFormed(key))
    throw new InputError("bad-key", "a key must be valid Unicode: this one holds half a surrogate pair");
  // No UTF-16 unit takes more than three bytes: most keys need no counting.
  const bytes = key.length * 3 <= keyBytes ? 0 : utf8(key).length;
  if (bytes > keyBytes)
    throw new InputError("key-too-large", `key is ${bytes} bytes; the limit is ${keyBytes} (limits.key_bytes)`);
  return key;
}

function decodeKey64(text: string): string {
  try {
    return fromUtf8(fromBase64Url(text));
  } catch {
    throw new InputError("bad-key", "key64 must be base64url, without padding, of a key's UTF-8");
  }
}

/** The key that a call names, and its query. Throws `bad-bucket`, `bad-key`, `key-too-large`. */
export function keyOf(call: Call, family: string, keyBytes: number): { key: RowKey; query: Query } {
  const { bucket, key, query } = targetOf(call, family);
  if (bucket === null) throw new InputError("bad-bucket", `name a bucket and a key: ${family}/{bucket}/{key}`);
  if (key === null) throw new InputError("bad-key", `name a key: ${family}/{bucket}/{key}, or ?key64= in base64url`);
  return { key: { bucket, key: checkKey(key, keyBytes) }, query };
}
