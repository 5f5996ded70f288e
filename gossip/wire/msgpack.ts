import { assert, InputError } from "../../src/kernel/assert.ts";
import { fromUtf8, utf8, Writer } from "../../src/kernel/bytes.ts";

/** How deep a value of an unknown key may nest before the message is refused. */
const MAX_SKIP_DEPTH = 8;
/** Keys of one message; memberlist's largest has 8. */
const MAX_FIELDS = 32;
const MAX_KEY_BYTES = 64;
/** Items of lists and maps that are skipped: a stream is read again with each chunk. */
const MAX_SKIPPED_ITEMS = 1024;
/** A float on its way out, tag and all: each ack carries eleven, and a view made for each cost more than all the rest. */
const FLOAT: Uint8Array<ArrayBuffer> = Uint8Array.of(0xcb, 0, 0, 0, 0, 0, 0, 0, 0);
const FLOAT_VIEW = new DataView(FLOAT.buffer);

/** What a message did wrong; the names of the counters that an operator sees. */
export const REJECT_KINDS = [
  "foreign-label",
  "undecipherable",
  "unencrypted",
  "bad-crc",
  "bad-compression",
  "truncated",
  "malformed",
  "nested",
  "unknown-type",
  "unsupported",
  "too-large",
] as const;
export type RejectKind = (typeof REJECT_KINDS)[number];

/** Without a stack: to take one costs several times as much as to read the packet, and who floods us says how often. */
export function reject(kind: RejectKind, message: string): InputError {
  const { stackTraceLimit } = V8;
  V8.stackTraceLimit = 0;
  const error = new InputError(kind, message);
  V8.stackTraceLimit = stackTraceLimit;
  return error;
}

const V8 = Error as ErrorConstructor & { stackTraceLimit: number | undefined };

/** Writes the MessagePack of before 2013 that memberlist speaks: text and byte strings are both "raw" (a0–bf, da, db),
 *  and str8 and bin don't exist. Integers take their shortest unsigned form. */
export class MsgpackWriter {
  readonly #out = new Writer();

  map(count: number): this {
    if (count < 16) this.#out.u8(0x80 | count);
    else
      this.#out
        .u8(0xde)
        .u8(count >> 8)
        .u8(count & 255);
    return this;
  }

  list(count: number): this {
    if (count < 16) this.#out.u8(0x90 | count);
    else
      this.#out
        .u8(0xdc)
        .u8(count >> 8)
        .u8(count & 255);
    return this;
  }

  raw(bytes: Uint8Array): this {
    const { length } = bytes;
    if (length < 32) this.#out.u8(0xa0 | length);
    else if (length < 0x10000)
      this.#out
        .u8(0xda)
        .u8(length >> 8)
        .u8(length & 255);
    else this.#u32(0xdb, length);
    this.#out.raw(bytes);
    return this;
  }

  text(text: string): this {
    return this.raw(utf8(text));
  }

  uint(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, "MsgpackWriter.uint takes a non-negative safe integer");
    if (value < 0x80) this.#out.u8(value);
    else if (value < 0x100) this.#out.u8(0xcc).u8(value);
    else if (value < 0x10000)
      this.#out
        .u8(0xcd)
        .u8(value >> 8)
        .u8(value & 255);
    else if (value < 0x1_0000_0000) this.#u32(0xce, value);
    else this.#u32(0xcf, Math.floor(value / 0x1_0000_0000)).#tail32(value % 0x1_0000_0000);
    return this;
  }

  float(value: number): this {
    FLOAT_VIEW.setFloat64(1, value);
    this.#out.raw(FLOAT);
    return this;
  }

  bool(value: boolean): this {
    this.#out.u8(value ? 0xc3 : 0xc2);
    return this;
  }

  nil(): this {
    this.#out.u8(0xc0);
    return this;
  }

  /** Bytes that are not MessagePack: a message's type in front of its map, user state behind it. */
  plain(bytes: Uint8Array): this {
    this.#out.raw(bytes);
    return this;
  }

  plainByte(byte: number): this {
    this.#out.u8(byte);
    return this;
  }

  finish(): Uint8Array {
    return this.#out.finish();
  }

  #u32(tag: number, value: number): this {
    this.#out.u8(tag);
    return this.#tail32(value);
  }

  #tail32(value: number): this {
    this.#out
      .u8(value >>> 24)
      .u8((value >>> 16) & 255)
      .u8((value >>> 8) & 255)
      .u8(value & 255);
    return this;
  }
}

/** A scalar of a message's map; nested values of unknown keys are skipped and read as absent. */
type Scalar = number | boolean | Uint8Array | null;

/** Reads what MsgpackWriter writes, and the newer str8 and bin forms, which later memberlists may send. Throws
 *  InputError "truncated" when the bytes end too early (more may come), "malformed" when no more bytes can help. */
export class MsgpackReader {
  readonly #bytes: Uint8Array;
  #at: number;
  #neededBytes = 0;
  #view: DataView | undefined;
  #skipped = 0;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** After "truncated": with fewer bytes than this, counted from the beginning, there is no sense in trying again. */
  get neededBytes(): number {
    return this.#neededBytes;
  }

  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    this.#need(1);
    return this.#bytes[this.#at++] as number;
  }

  /** A copy: what is kept must not pin the packet it came in. */
  take(length: number): Uint8Array {
    this.#need(length);
    const out = this.#bytes.slice(this.#at, this.#at + length);
    this.#at += length;
    return out;
  }

  map(maxCount: number): number {
    const tag = this.u8();
    const count = tag >= 0x80 && tag <= 0x8f ? tag & 15 : tag === 0xde ? this.#uintOf(2) : undefined;
    if (count === undefined) throw reject("malformed", "expected a map");
    if (count > maxCount) throw reject("malformed", `map of ${count} keys; at most ${maxCount} here`);
    return count;
  }

  /** Go writes an empty list as nil, too. */
  list(maxCount: number): number {
    const tag = this.u8();
    const count = tag === 0xc0 ? 0 : tag >= 0x90 && tag <= 0x9f ? tag & 15 : tag === 0xdc ? this.#uintOf(2) : undefined;
    if (count === undefined) throw reject("malformed", "expected a list");
    if (count > maxCount) throw reject("malformed", `list of ${count} items; at most ${maxCount} here`);
    return count;
  }

  bytes(maxBytes: number): Uint8Array {
    const value = this.scalar();
    if (!(value instanceof Uint8Array) || value.length > maxBytes)
      throw reject("malformed", `expected at most ${maxBytes} bytes`);
    return value;
  }

  float(): number {
    const tag = this.u8();
    if (tag !== 0xcb) throw reject("malformed", "expected a 64-bit float");
    this.#need(8);
    this.#view ??= new DataView(this.#bytes.buffer, this.#bytes.byteOffset);
    const value = this.#view.getFloat64(this.#at);
    this.#at += 8;
    return value;
  }

  uint(max: number): number {
    const value = this.scalar();
    if (typeof value !== "number" || value < 0 || value > max)
      throw reject("malformed", `expected an integer from 0 to ${max}`);
    return value;
  }

  text(maxBytes: number): string {
    return textOf(this.bytes(maxBytes));
  }

  /** The next value if it is a scalar, else undefined after skipping it. */
  scalar(): Scalar | undefined {
    const tag = this.u8();
    if (tag < 0x80) return tag;
    if (tag >= 0xa0 && tag < 0xc0) return this.take(tag & 31);
    if (tag >= 0xe0) return tag - 0x100;
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
      case 0xc3:
        return tag === 0xc3;
      case 0xc4:
      case 0xd9:
        return this.take(this.#uintOf(1));
      case 0xc5:
      case 0xda:
        return this.take(this.#uintOf(2));
      case 0xc6:
      case 0xdb:
        return this.take(this.#uintOf(4));
      case 0xcc:
      case 0xcd:
      case 0xce:
      case 0xcf:
        return this.#uintOf(1 << (tag - 0xcc));
      case 0xd0:
      case 0xd1:
      case 0xd2:
      case 0xd3:
        return this.#intOf(1 << (tag - 0xd0));
      default:
        this.#skipNested(tag, 0);
        return undefined;
    }
  }

  #skipNested(tag: number, depth: number): void {
    if (depth > MAX_SKIP_DEPTH) throw reject("malformed", `values nest deeper than ${MAX_SKIP_DEPTH}`);
    const fixedBytes = FIXED_BYTES.get(tag);
    if (fixedBytes !== undefined) {
      this.#need(fixedBytes);
      this.#at += fixedBytes;
      return;
    }
    const items = this.#itemsOf(tag);
    this.#skipped += items;
    if (this.#skipped > MAX_SKIPPED_ITEMS) throw reject("malformed", "too much in it that nobody asked for");
    // Each item is at least a byte, so that a forged count costs nothing.
    this.#need(items);
    for (let i = 0; i < items; i++) {
      const next = this.#bytes[this.#at];
      if (next !== undefined && isNested(next)) {
        this.#at += 1;
        this.#skipNested(next, depth + 1);
      } else this.scalar();
    }
  }

  #itemsOf(tag: number): number {
    if (tag >= 0x80 && tag <= 0x8f) return 2 * (tag & 15);
    if (tag >= 0x90 && tag <= 0x9f) return tag & 15;
    switch (tag) {
      case 0xdc:
        return this.#uintOf(2);
      case 0xdd:
        return this.#uintOf(4);
      case 0xde:
        return 2 * this.#uintOf(2);
      case 0xdf:
        return 2 * this.#uintOf(4);
      default:
        throw reject("malformed", `unknown MessagePack tag 0x${tag.toString(16)}`);
    }
  }

  #uintOf(bytes: number): number {
    this.#need(bytes);
    let value = 0;
    for (let i = 0; i < bytes; i++) value = value * 256 + this.u8();
    if (!Number.isSafeInteger(value)) throw reject("malformed", "integer above 2^53");
    return value;
  }

  /** Newer go-msgpacks write Go's signed integers so, positive ones too. */
  #intOf(bytes: number): number {
    this.#need(bytes);
    let value = 0n;
    for (let i = 0; i < bytes; i++) value = (value << 8n) | BigInt(this.u8());
    return Number(BigInt.asIntN(8 * bytes, value));
  }

  #need(bytes: number): void {
    if (bytes <= this.left) return;
    this.#neededBytes = this.#at + bytes;
    throw reject("truncated", `${bytes} bytes announced, ${this.left} left`);
  }
}

/** Floats have no place in most of what we read; they are skipped by their length. */
const FIXED_BYTES: ReadonlyMap<number, number> = new Map([
  [0xca, 4],
  [0xcb, 8],
]);

function isNested(tag: number): boolean {
  return (tag >= 0x80 && tag <= 0x9f) || (tag >= 0xdc && tag <= 0xdf);
}

function textOf(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes);
  } catch (error) {
    if (error instanceof InputError) throw reject("malformed", error.message);
    throw error;
  }
}

/** One message's map. As in Go a missing key reads as zero; a value of another kind refuses the message. */
export class Fields {
  readonly #values = new Map<string, Scalar>();

  /** @param nested what reads the lists and maps among the values; others of them are skipped */
  constructor(reader: MsgpackReader, nested: Readonly<Record<string, () => void>> = {}) {
    const count = reader.map(MAX_FIELDS);
    for (let i = 0; i < count; i++) {
      const key = reader.text(MAX_KEY_BYTES);
      if (Object.hasOwn(nested, key)) {
        nested[key]?.();
        continue;
      }
      const value = reader.scalar();
      if (value !== undefined) this.#values.set(key, value);
    }
  }

  uint(key: string, max: number): number {
    const value = this.#values.get(key) ?? 0;
    if (typeof value !== "number" || value < 0 || value > max)
      throw reject("malformed", `${key} must be an integer from 0 to ${max}`);
    return value;
  }

  bool(key: string): boolean {
    const value = this.#values.get(key) ?? false;
    if (typeof value !== "boolean") throw reject("malformed", `${key} must be true or false`);
    return value;
  }

  bytes(key: string, maxBytes: number): Uint8Array {
    const value = this.#values.get(key) ?? NO_BYTES;
    if (!(value instanceof Uint8Array) || value.length > maxBytes)
      throw reject("malformed", `${key} must be at most ${maxBytes} bytes`);
    return value;
  }

  text(key: string, maxBytes: number): string {
    return textOf(this.bytes(key, maxBytes));
  }
}

const NO_BYTES = new Uint8Array(0);
