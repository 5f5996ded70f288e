import { InputError } from "../kernel/assert.ts";
import { fromUtf8 } from "../kernel/bytes.ts";

/** Deeper JSON is refused before it is parsed: what recurses over it later must not run out of stack. */
export const MAX_JSON_DEPTH = 64;

/** Throws InputError `bad-json`, `too-deep`. Objects are plain, with user keys (`__proto__` too) as own properties only:
 *  copy them into Maps, never into other objects. */
export function parseJson(input: Uint8Array | string): unknown {
  const text = typeof input === "string" ? input : jsonText(input);
  checkDepth(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError("bad-json", `this is not JSON: ${error instanceof Error ? error.message : "unknown"}`);
  }
}

function jsonText(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes);
  } catch {
    throw new InputError("bad-json", "JSON must be UTF-8");
  }
}

function checkDepth(text: string): void {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === BACKSLASH) i++;
      else if (code === QUOTE) inString = false;
    } else if (code === QUOTE) inString = true;
    else if (code === OPEN_BRACKET || code === OPEN_BRACE) {
      if (++depth > MAX_JSON_DEPTH)
        throw new InputError("too-deep", `JSON may nest ${MAX_JSON_DEPTH} deep; this goes deeper`);
    } else if (code === CLOSE_BRACKET || code === CLOSE_BRACE) depth--;
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An own member only: `constructor` and `__proto__` are names like others. */
export function member(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/** JSON that is text already, of a value that a client stored. */
export class RawJson {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** What answers are made of. User keys live in Maps; plain objects have names of ours only. */
export type View =
  | string
  | number
  | boolean
  | null
  | bigint
  | RawJson
  | readonly View[]
  | ReadonlyMap<string, View>
  | { readonly [name: string]: View | undefined };

/** One line of JSON. Stored JSON keeps all its digits; a bigint beyond 2^53 becomes text. */
export function toJson(view: View): string {
  if (typeof view === "bigint") return isSafe(view) ? String(view) : `"${view}"`;
  if (typeof view !== "object" || view === null) return JSON.stringify(view);
  if (view instanceof RawJson) return view.text;
  if (isList(view)) return `[${view.map(toJson).join(",")}]`;
  let out = "";
  for (const [name, inside] of view instanceof Map ? view : Object.entries(view))
    if (inside !== undefined) out += `${out === "" ? "" : ","}${JSON.stringify(name)}:${toJson(inside)}`;
  return `{${out}}`;
}

function isList(view: View): view is readonly View[] {
  return Array.isArray(view);
}

export function isSafe(value: bigint): boolean {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER);
}
