import { reject } from "./msgpack.ts";

// LZW as in GIF and as Go's compress/lzw writes it (LSB first, 8-bit literals): T. Welch, "A Technique for
// High-Performance Data Compression" (1984). The width of a code grows after the code that fills it.
const CLEAR = 256;
const END = 257;
const WIDTH_MIN = 9;
const WIDTH_MAX = 12;
/** Our encoder starts over before the last code is given out, as Go's does. */
const LAST_CODE = (1 << WIDTH_MAX) - 1;

/** The codes of pairs of a code and a byte: an open hash table, four times as large as there can be pairs. */
const SLOTS = 1 << 14;
const pairs = new Int32Array(SLOTS);
const codes = new Uint16Array(SLOTS);

/** Bytes without repetitions grow by half. */
export function compress(bytes: Uint8Array): Uint8Array {
  const out = new CodeWriter(bytes.length);
  let width = WIDTH_MIN;
  let last = END;
  pairs.fill(0);
  out.write(CLEAR, width);
  let code = -1;
  const send = (): void => {
    out.write(code, width);
    last += 1;
    if (last === 1 << width) width += 1;
    if (last < LAST_CODE) return;
    out.write(CLEAR, width);
    width = WIDTH_MIN;
    last = END;
    pairs.fill(0);
  };
  for (const byte of bytes) {
    if (code < 0) {
      code = byte;
      continue;
    }
    const slot = slotOf(code, byte);
    if (pairs[slot] !== 0) {
      code = codes[slot] as number;
      continue;
    }
    send();
    if (last > END) {
      pairs[slot] = keyOf(code, byte);
      codes[slot] = last;
    }
    code = byte;
  }
  if (code >= 0) send();
  out.write(END, width);
  return out.finish();
}

/** Never 0, which marks a free slot. */
function keyOf(code: number, byte: number): number {
  return ((code << 8) | byte) + 1;
}

function slotOf(code: number, byte: number): number {
  const key = keyOf(code, byte);
  let slot = ((key >>> 12) ^ key) & (SLOTS - 1);
  while (pairs[slot] !== 0 && pairs[slot] !== key) slot = (slot + 1) & (SLOTS - 1);
  return slot;
}

class CodeWriter {
  #out: Uint8Array;
  #length = 0;
  #bits = 0;
  #bitCount = 0;

  constructor(sizeBytes: number) {
    this.#out = new Uint8Array(64 + (sizeBytes >> 1));
  }

  write(code: number, width: number): void {
    this.#bits |= code << this.#bitCount;
    this.#bitCount += width;
    while (this.#bitCount >= 8) {
      this.#push(this.#bits & 255);
      this.#bits >>>= 8;
      this.#bitCount -= 8;
    }
  }

  finish(): Uint8Array {
    if (this.#bitCount > 0) this.#push(this.#bits & 255);
    return this.#out.slice(0, this.#length);
  }

  #push(byte: number): void {
    if (this.#length === this.#out.length) this.#out = grown(this.#out, this.#length * 2);
    this.#out[this.#length++] = byte;
  }
}

// What each code stands for: the code of all but its last byte, and that byte. One decoding at a time, and none reads a
// code that it has not given out itself.
const prefixes = new Uint16Array(LAST_CODE + 1);
const suffixes = new Uint8Array(LAST_CODE + 1);

/** Throws InputError: "too-large" when more than `maxBytes` would come out, "bad-compression" for what isn't LZW. What
 *  follows the end is ignored. */
export function decompress(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const input = new CodeReader(bytes);
  let out: Uint8Array = new Uint8Array(Math.min(maxBytes, 3 * bytes.length + 64));
  let length = 0;
  let width = WIDTH_MIN;
  /** The next code to be given out: it stands for the last one and the first byte of this one. */
  let next = CLEAR + 1;
  let last = -1;
  /** Above all codes given out. */
  let known = CLEAR + 2;
  for (;;) {
    const code = input.read(width);
    if (code === END) return out.slice(0, length);
    if (code === CLEAR) {
      width = WIDTH_MIN;
      next = CLEAR + 1;
      last = -1;
      known = CLEAR + 2;
      continue;
    }
    const isNext = code === next && last >= 0;
    if (code >= known && !isNext) throw badCompression("a code that was not given out");
    const whole = isNext ? last : code;
    const more = lengthOf(whole) + (isNext ? 1 : 0);
    if (length + more > maxBytes) throw reject("too-large", `decompressed it has more than ${maxBytes} bytes`);
    if (length + more > out.length) out = grown(out, Math.min(maxBytes, Math.max(out.length * 2, length + more)));
    const first = spell(whole, out, length + more - (isNext ? 1 : 0));
    if (isNext) out[length + more - 1] = first;
    length += more;
    if (last >= 0) {
      prefixes[next] = last;
      suffixes[next] = first;
      lengths[next] = lengthOf(last) + 1;
      known = next + 1;
    }
    last = code;
    next += 1;
    if (next < 1 << width) continue;
    if (width < WIDTH_MAX) width += 1;
    else {
      // The table is full: what follows uses the codes there are, until a clear.
      last = -1;
      next -= 1;
    }
  }
}

const lengths = new Uint16Array(LAST_CODE + 1);

function lengthOf(code: number): number {
  return code < CLEAR ? 1 : (lengths[code] as number);
}

/** Writes what a code stands for so that it ends at `end`; returns its first byte. */
function spell(code: number, out: Uint8Array, end: number): number {
  let at = end;
  let rest = code;
  while (rest > END) {
    out[--at] = suffixes[rest] as number;
    rest = prefixes[rest] as number;
  }
  out[--at] = rest;
  return rest;
}

class CodeReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #bits = 0;
  #bitCount = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  read(width: number): number {
    while (this.#bitCount < width) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw badCompression("it ends before its end");
      this.#bits |= byte << this.#bitCount;
      this.#bitCount += 8;
    }
    const code = this.#bits & ((1 << width) - 1);
    this.#bits >>>= width;
    this.#bitCount -= width;
    return code;
  }
}

function grown(bytes: Uint8Array, sizeBytes: number): Uint8Array {
  const out = new Uint8Array(sizeBytes);
  out.set(bytes);
  return out;
}

function badCompression(detail: string): Error {
  return reject("bad-compression", `compressed bytes can't be read: ${detail}`);
}
