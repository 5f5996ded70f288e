import { assert, InputError } from "./assert.ts";

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

export function utf8(text: string): Uint8Array {
  return asciiBytes(text) ?? encoder.encode(text);
}

/** Text up to this long is copied here rather than by the encoder, whose calls cost more than short texts do. */
const SHORT_TEXT = 64;

/** Null for long text, and for what isn't ASCII. */
function asciiBytes(text: string): Uint8Array | null {
  if (text.length > SHORT_TEXT) return null;
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 128) return null;
    out[i] = unit;
  }
  return out;
}

/** Throws InputError on bytes that are not UTF-8. */
export function fromUtf8(bytes: Uint8Array): string {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    throw new InputError("not-utf8", "text must be valid UTF-8");
  }
}

/** True when the text encodes to UTF-8 and back unchanged (no lone surrogates). */
export function isWellFormed(text: string): boolean {
  return text.isWellFormed();
}

/** How many bytes `utf8(text)` has. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    length += unit < 0x800 ? 1 : 2;
    // A pair of surrogates is two units and four bytes.
    if (unit >= 0xd800 && unit < 0xdc00 && i + 1 < text.length) {
      const next = text.charCodeAt(i + 1);
      if (next >= 0xdc00 && next < 0xe000) i += 1;
    }
  }
  return length;
}

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

/** Code-unit order; for the ASCII names of actors and regions the same as byte order. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const HEX_PAIRS: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export function toHex(bytes: Uint8Array): string {
  let out = "";
  for (let i = 0; i < bytes.length; i++) out += HEX_PAIRS[bytes[i] as number];
  return out;
}

export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text))
    throw new InputError("bad-hex", "expected lower-case hex digits");
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return out;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/** By code unit. */
const VALUE_OF: readonly (number | undefined)[] = Array.from({ length: 128 }, (_, unit) => {
  const value = ALPHABET.indexOf(String.fromCharCode(unit));
  return value < 0 ? undefined : value;
});

/** base64url without padding (RFC 4648 §5). */
export function toBase64Url(bytes: Uint8Array): string {
  let out = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const word = ((bytes[i] as number) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    for (let part = 0; part < Math.min(4, left + 1); part++) out += ALPHABET[(word >> (18 - 6 * part)) & 63];
  }
  return out;
}

/** Throws InputError on anything that `toBase64Url` cannot have made. */
export function fromBase64Url(text: string): Uint8Array {
  const out = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    const value = VALUE_OF[text.charCodeAt(i)];
    if (value === undefined) throw new InputError("bad-base64url", "expected base64url without padding");
    bits = (bits << 6) | value;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out[at++] = (bits >> held) & 255;
      bits &= (1 << held) - 1;
    }
  }
  if (text.length % 4 === 1 || bits !== 0) throw new InputError("bad-base64url", "expected base64url without padding");
  return out;
}

/** base64 with padding (RFC 4648 §4). */
export function toBase64(bytes: Uint8Array): string {
  const text = toBase64Url(bytes).replaceAll("-", "+").replaceAll("_", "/");
  return text.padEnd(Math.ceil(text.length / 4) * 4, "=");
}

/** Throws InputError on anything that `toBase64` cannot have made. */
export function fromBase64(text: string): Uint8Array {
  const bare = text.replace(/={1,2}$/, "");
  if (/[-_]/.test(bare) || Math.ceil(bare.length / 4) * 4 !== text.length)
    throw new InputError("bad-base64", "expected base64 with padding");
  return fromBase64Url(bare.replaceAll("+", "-").replaceAll("/", "_"));
}

// Rows and entries are small and many: their buffers are used again. Larger ones are left to the collector.
const spareBuffers: Uint8Array[] = [];
const SPARE_BUFFERS = 8;
const SPARE_BYTES = 65_536;
// What is written is cut from a common slab: an ArrayBuffer of its own for each would cost more than its bytes, to make
// and to collect. A slab lives as long as the last of its pieces.
const SLAB_BYTES = 16_384;
const PIECE_BYTES = 1_024;
const SHORT_COPY_BYTES = 128;
let slab = EMPTY_BYTES;
let slabUsed = 0;

/** A copy; a short one is a piece of a slab, as what a Writer finishes. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return onSlab(bytes, bytes.length);
}

/** A copy of the first `length` bytes. */
function onSlab(bytes: Uint8Array, length: number): Uint8Array {
  if (length > PIECE_BYTES) return bytes.slice(0, length);
  if (slabUsed + length > slab.length) {
    slab = new Uint8Array(SLAB_BYTES);
    slabUsed = 0;
  }
  // Short ones byte by byte: a view of them to copy from costs more.
  if (length <= SHORT_COPY_BYTES) for (let i = 0; i < length; i++) slab[slabUsed + i] = bytes[i] as number;
  else slab.set(bytes.length === length ? bytes : bytes.subarray(0, length), slabUsed);
  slabUsed += length;
  return slab.subarray(slabUsed - length, slabUsed);
}

/** Appends canonical binary: unsigned LEB128 integers in their shortest form, length-prefixed bytes. Used once: after
 *  `finish` it writes no more. */
export class Writer {
  #bytes: Uint8Array = spareBuffers.pop() ?? new Uint8Array(1024);
  #length = 0;

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    assert(this.#bytes.length > 0, "a Writer writes no more after finish");
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  /** A non-negative safe integer. */
  uint(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, "Writer.uint takes a non-negative safe integer");
    this.#reserve(8);
    let rest = value;
    while (rest >= 128) {
      this.#bytes[this.#length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
    return this;
  }

  /** A non-negative bigint of at most 128 bits. */
  bigUint(value: bigint): this {
    assert(value >= 0n && value < 1n << 128n, "Writer.bigUint takes 0 to 2^128-1");
    this.#reserve(19);
    let rest = value;
    while (rest >= 128n) {
      this.#bytes[this.#length++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.#bytes[this.#length++] = Number(rest);
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  bytes(bytes: Uint8Array): this {
    return this.uint(bytes.length).raw(bytes);
  }

  text(text: string): this {
    if (text.length > SHORT_TEXT) return this.bytes(utf8(text));
    const start = this.#length;
    this.uint(text.length).#reserve(text.length);
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 128) {
        this.#length = start;
        return this.bytes(utf8(text));
      }
      this.#bytes[this.#length++] = unit;
    }
    return this;
  }

  get length(): number {
    return this.#length;
  }

  /** What is written so far, lent: good until more is written. */
  get soFar(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  finish(): Uint8Array {
    const done = onSlab(this.#bytes, this.#length);
    this.#release();
    return done;
  }

  /** Ends like `finish`, but lends the bytes out instead of copying them: `use` must not keep them. */
  finishInto<T>(use: (bytes: Uint8Array) => T): T {
    const result = use(this.#bytes.subarray(0, this.#length));
    this.#release();
    return result;
  }

  #release(): void {
    if (this.#bytes.length <= SPARE_BYTES && spareBuffers.length < SPARE_BUFFERS) spareBuffers.push(this.#bytes);
    this.#bytes = EMPTY_BYTES;
  }
}

/** Reads what Writer wrote; refuses (InputError) everything else, longer-than-needed integers included. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    // A Buffer's slice would share its memory: what is read must outlive what it was read from.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #fail(): never {
    throw new InputError("bad-encoding", `malformed bytes at offset ${this.#at}`);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) this.#fail();
    this.#at += 1;
    return byte;
  }

  uint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (!Number.isSafeInteger(value)) this.#fail();
      if (byte < 128) {
        if (byte === 0 && scale > 1) this.#fail(); // not the shortest form
        return value;
      }
      if (scale > 2 ** 49) this.#fail();
    }
  }

  bigUint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 133n; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) {
        if ((byte === 0 && shift > 0n) || value >= 1n << 128n) this.#fail();
        return value;
      }
    }
    return this.#fail();
  }

  /** A count of things that take at least `eachBytes` bytes: refused before anything is allocated for it. */
  count(eachBytes: number): number {
    const count = this.uint();
    if (count * eachBytes > this.left) this.#fail();
    return count;
  }

  raw(length: number): Uint8Array {
    if (length > this.left) this.#fail();
    const out = this.#bytes.slice(this.#at, this.#at + length);
    this.#at += length;
    return out;
  }

  bytes(): Uint8Array {
    return this.raw(this.uint());
  }

  text(): string {
    const length = this.uint();
    if (length > this.left) this.#fail();
    if (length > SHORT_TEXT) return fromUtf8(this.raw(length));
    let text = "";
    for (let i = this.#at; i < this.#at + length; i++) {
      const byte = this.#bytes[i] as number;
      if (byte >= 128) return fromUtf8(this.raw(length));
      text += String.fromCharCode(byte);
    }
    this.#at += length;
    return text;
  }

  end(): void {
    if (this.left !== 0) this.#fail();
  }
}
