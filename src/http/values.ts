import type { ElementValue } from "../../crdt/index.ts";
import type { Shown } from "../conflicts/projection.ts";
import { InputError } from "../kernel/assert.ts";
import { fromUtf8, utf8 } from "../kernel/bytes.ts";
import type { JsonObject, View } from "./json.ts";
import { isObject, isSafe, member, parseJson, RawJson, toJson } from "./json.ts";

export const JSON_TYPE = "application/json";
export const BYTES_TYPE = "application/octet-stream";

/** A register's content as clients hand it in and get it back. */
export interface Content {
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

export function isJsonType(contentType: string): boolean {
  return /^application\/(?:[\w.-]+\+)?json(?:$|[; ])/i.test(contentType);
}

function isTextType(contentType: string): boolean {
  return /^text\/[^;]*(?:; *charset=utf-8)?$/i.test(contentType);
}

/** Also refuses what could not be sent in a header again. */
export function checkContentType(contentType: string): string {
  if (!/^[\w!#$&^.+-]{1,64}\/[\w!#$&^.+-]{1,64}(?:[;, ][\x20-\x7e]{0,192})?$/.test(contentType))
    throw new InputError("bad-content-type", "a content type looks like text/plain; charset=utf-8");
  return contentType;
}

// ---- out

/** How a value shows inside JSON: JSON as itself, text as a string, else `{"$b64", "contentType"}`. */
export function contentView({ contentType, bytes }: Content): View {
  const text = isJsonType(contentType) || isTextType(contentType) ? tryText(bytes) : null;
  if (text !== null && isTextType(contentType)) return text;
  if (text !== null) {
    const json = tryJson(text);
    // Line breaks stand only between tokens: without them the value fits a line, with all its digits.
    if (json !== undefined) return new RawJson(text.replaceAll(/[\r\n]/g, " "));
  }
  return { $b64: toBase64(bytes), contentType };
}

export function shownView(shown: Shown): View {
  switch (shown.type) {
    case "register":
      return contentView(shown);
    case "counter":
      return shown.value;
    case "flag":
      return shown.value;
    case "set":
      return shown.elements.map(elementView);
    case "map":
      return new Map([...shown.fields].map(([field, inside]) => [field, shownView(inside)]));
  }
}

export function elementView(element: ElementValue): View {
  return element instanceof Uint8Array ? { $b64: toBase64(element) } : element;
}

/** Does it hold a counter that a JSON number can't carry? */
export function hasLargeInteger(shown: Shown): boolean {
  if (shown.type === "counter") return !isSafe(shown.value);
  return shown.type === "map" && [...shown.fields.values()].some(hasLargeInteger);
}

/** Bytes of the value as it is answered: what listings call its size. */
export function sizeBytes(shown: Shown): number {
  return shown.type === "register" ? shown.bytes.length : utf8(toJson(shownView(shown))).length;
}

/** A value in the form that `contentFrom` turns into the very same bytes again. */
export function exactValue(content: Content): { value: View; contentType?: string } {
  const { contentType, bytes } = content;
  const text = tryText(bytes);
  if (text !== null && isTextType(contentType)) return { value: text, contentType };
  if (text !== null && contentType === JSON_TYPE) {
    const json = tryJson(text);
    const isMarked = isObject(json) && Object.hasOwn(json, "$b64");
    if (json !== undefined && JSON.stringify(json) === text && !isMarked) return { value: new RawJson(text) };
  }
  return { value: { $b64: toBase64(bytes) }, contentType };
}

function tryText(bytes: Uint8Array): string | null {
  try {
    return fromUtf8(bytes);
  } catch {
    return null; // then it is shown as bytes
  }
}

function tryJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined; // whatever its type says, it is shown as bytes
  }
}

// ---- in

/** The content that JSON names: any value is stored as JSON, `{"$b64", "contentType"?}` as those bytes, a string with a
 *  `text/…` content type as that text. */
export function contentFrom(value: unknown, contentType?: string): Content {
  if (isObject(value) && Object.hasOwn(value, "$b64")) {
    const own = member(value, "contentType") ?? contentType ?? BYTES_TYPE;
    return { contentType: checkTypeMember(own), bytes: bytesFrom(value) };
  }
  if (contentType === undefined) return { contentType: JSON_TYPE, bytes: utf8(JSON.stringify(value)) };
  checkTypeMember(contentType);
  if (isJsonType(contentType)) return { contentType, bytes: utf8(JSON.stringify(value)) };
  if (typeof value === "string" && isTextType(contentType)) return { contentType, bytes: utf8(value) };
  throw new InputError("bad-value", `give a value of type ${contentType} as {"$b64": "…", "contentType": "…"}`);
}

function checkTypeMember(contentType: unknown): string {
  if (typeof contentType !== "string") throw new InputError("bad-content-type", "contentType must be text");
  return checkContentType(contentType);
}

/** What a set may hold: text, finite numbers, booleans, `{"$b64"}`. */
export function elementFrom(value: unknown): ElementValue {
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && (!Number.isInteger(value) || Number.isSafeInteger(value))) return value;
  if (typeof value === "number")
    throw new InputError("bad-element", "an integer beyond 2^53 loses digits in JSON: send it as text");
  if (isObject(value) && Object.hasOwn(value, "$b64")) return bytesFrom(value);
  throw new InputError("bad-element", 'a set holds text, numbers, booleans and {"$b64": "…"}');
}

/** The bytes of `{"$b64"}`. */
function bytesFrom(object: JsonObject): Uint8Array {
  for (const name of Object.keys(object))
    if (name !== "$b64" && name !== "contentType")
      throw new InputError("bad-value", `${JSON.stringify(name)} has no meaning beside $b64`);
  return fromBase64(member(object, "$b64"));
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

/** Standard or URL alphabet, padded or not; nothing else. */
function fromBase64(text: unknown): Uint8Array {
  if (typeof text !== "string" || !/^(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)={0,2}$/.test(text))
    throw new InputError("bad-base64", "$b64 must be base64 (RFC 4648)");
  const digits = text.replace(/=+$/, "").length;
  const isPadded = digits !== text.length;
  if (digits % 4 === 1 || (isPadded && text.length % 4 !== 0))
    throw new InputError("bad-base64", "$b64 is cut off: its length is no length of base64");
  return new Uint8Array(Buffer.from(text, "base64"));
}

/** An integer of any size: a JSON integer up to 2^53, or its digits as text. */
export function integerFrom(value: unknown, what: string): bigint {
  if (typeof value === "number" && Number.isSafeInteger(value)) return BigInt(value);
  if (typeof value === "string" && /^-?\d{1,40}$/.test(value)) return BigInt(value);
  throw new InputError("bad-integer", `${what} must be an integer; one beyond 2^53 is sent as text`);
}
