import { InputError } from "../kernel/assert.ts";
import { concatBytes, EMPTY_BYTES } from "../kernel/bytes.ts";
import type { Call } from "./call.ts";
import { parseJson } from "./json.ts";
import { ProblemError } from "./problem.ts";

export interface BodyLimit {
  readonly bytes: number;
  readonly slug: "value-too-large" | "body-too-large";
  /** The setting's name. */
  readonly setting: string;
}

/** The whole body, refused before it is buffered when it is over the limit: by what it announces, else while it comes. */
export async function readBody({ request }: Call, limit: BodyLimit): Promise<Uint8Array> {
  checkEncoding(request);
  const announced = request.headers.get("content-length");
  if (announced !== null) {
    const length = /^\d{1,15}$/.test(announced) ? Number(announced) : Number.NaN;
    if (Number.isNaN(length)) throw new InputError("bad-content-length", "Content-Length must be a number of bytes");
    if (length > limit.bytes) throw tooLarge(`${length}`, limit);
    // The HTTP parser hands over as many bytes as were announced, never more.
    const bytes = new Uint8Array(await arrived(request.arrayBuffer()));
    if (bytes.length > limit.bytes) throw tooLarge(`${bytes.length}`, limit);
    return bytes;
  }
  if (request.body === null) return EMPTY_BYTES;
  const parts: Uint8Array[] = [];
  let total = 0;
  const reader = request.body.getReader();
  for (;;) {
    const { done, value } = await arrived(reader.read());
    if (done) return concatBytes(parts);
    total += value.length;
    if (total > limit.bytes) {
      await reader.cancel().catch(() => undefined); // the sender may be gone already: it is refused all the same
      throw tooLarge(`more than ${limit.bytes}`, limit);
    }
    parts.push(value);
  }
}

/** Bytes are kept as they come, and answered without the encoding's name: an encoded value would come back as noise. */
export function checkEncoding(request: Request): void {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding !== "" && encoding !== "identity")
    throw new InputError("unsupported-encoding", "send the body without Content-Encoding: it is kept as it comes");
}

/** A body that breaks off is its sender's failure, not ours. */
export function arrived<T>(part: Promise<T>): Promise<T> {
  return part.catch(() => {
    throw new InputError("body-incomplete", "the request's body broke off before its end");
  });
}

function tooLarge(bytes: string, limit: BodyLimit): InputError {
  const what = limit.slug === "value-too-large" ? "value" : "body";
  return new InputError(limit.slug, `the ${what} is ${bytes} bytes; the limit is ${limit.bytes} (${limit.setting})`);
}

/** The type without its parameters, in lower case; "" when there is none. */
export function mediaType(request: Request): string {
  const header = request.headers.get("content-type") ?? "";
  const semicolon = header.indexOf(";");
  return (semicolon < 0 ? header : header.slice(0, semicolon)).trim().toLowerCase();
}

/** Throws `unsupported-type` (415). */
export function checkType(call: Call, accepted: readonly string[], headers: Record<string, string> = {}): string {
  const type = mediaType(call.request);
  if (!accepted.includes(type))
    throw new ProblemError(
      "unsupported-type",
      `send this with Content-Type: ${accepted.join(" or ")}${type === "" ? "; it has none" : `, not ${type}`}`,
      { headers },
    );
  return type;
}

export async function readJson(call: Call, bodyBytes: number): Promise<unknown> {
  return parseJson(await readBody(call, { bytes: bodyBytes, slug: "body-too-large", setting: "limits.body_bytes" }));
}
