import { InputError } from "../kernel/assert.ts";
import { fromUtf8 } from "../kernel/bytes.ts";

/** One request, with its URL cut open. */
export interface Call {
  readonly request: Request;
  readonly method: string;
  /** As it came: still percent-encoded. */
  readonly path: string;
  /** Without the question mark. */
  readonly search: string;
  /** Of the URL: what stood in `Host`. */
  readonly authority: string;
  readonly id: string;
}

export function openCall(request: Request, id: string): Call {
  const { url } = request;
  const slashes = url.indexOf("//");
  let start = url.indexOf("/", slashes + 2);
  if (start < 0) start = url.length;
  let end = url.indexOf("?", start);
  const hash = url.indexOf("#", start);
  const stop = hash < 0 ? url.length : hash;
  if (end < 0 || end > stop) end = stop;
  return {
    request,
    method: request.method,
    path: start === end ? "/" : url.slice(start, end),
    search: end < stop ? url.slice(end + 1, stop) : "",
    authority: url.slice(slashes + 2, start),
    id,
  };
}

/** %XX to bytes, which must be UTF-8. Throws InputError with `slug`. */
export function percentDecode(text: string, slug: string): string {
  if (!text.includes("%")) return text;
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== "%") {
      const code = text.charCodeAt(i);
      if (code > 0x7f) throw new InputError(slug, "a URL is ASCII: percent-encode the rest as UTF-8");
      bytes.push(code);
      continue;
    }
    const digits = text.slice(i + 1, i + 3);
    if (!/^[0-9a-fA-F]{2}$/.test(digits))
      throw new InputError(slug, `%${digits} is no percent-encoded byte: write %25 for %`);
    bytes.push(Number.parseInt(digits, 16));
    i += 2;
  }
  try {
    return fromUtf8(Uint8Array.from(bytes));
  } catch {
    throw new InputError(slug, "percent-encoded bytes must be UTF-8; a key of other bytes has no place here");
  }
}

export type Query = ReadonlyMap<string, string>;

const NO_QUERY: Query = new Map();

/** Throws InputError `bad-parameter` on bad encodings and repeated names. */
export function parseQuery(search: string): Query {
  if (search === "") return NO_QUERY;
  const query = new Map<string, string>();
  for (const pair of search.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const [name, value] = equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
    const decoded = percentDecode(name.replaceAll("+", " "), "bad-parameter");
    if (query.has(decoded)) throw new InputError("bad-parameter", `${JSON.stringify(decoded)} is given twice`);
    query.set(decoded, percentDecode(value.replaceAll("+", " "), "bad-parameter"));
  }
  return query;
}

/** Refuses what would otherwise be ignored in silence, like a misspelt level. */
export function checkParameters(query: Query, known: readonly string[]): void {
  for (const name of query.keys())
    if (!known.includes(name))
      throw new InputError(
        "unknown-parameter",
        `${JSON.stringify(name.slice(0, 80))} is no parameter of this call; it has ${known.join(", ") || "none"}`,
      );
}

/** True for `?name` and `?name=true`. */
export function flagOf(query: Query, name: string): boolean {
  const value = query.get(name);
  if (value === undefined || value === "false") return false;
  if (value === "" || value === "true") return true;
  throw new InputError("bad-parameter", `${name} is true or false`);
}

export function integerOf(query: Query, name: string, range: { min: number; max: number; otherwise: number }): number {
  const text = query.get(name);
  if (text === undefined) return range.otherwise;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= range.min && value <= range.max))
    throw new InputError("bad-parameter", `${name} must be an integer from ${range.min} to ${range.max}`);
  return value;
}
