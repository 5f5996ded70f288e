import { InputError } from "../src/kernel/assert.ts";
import { equalBytes, fromUtf8, utf8, Writer } from "../src/kernel/bytes.ts";

/** What clients may put into a set: JSON scalars and bytes. */
export type ElementValue = string | number | boolean | Uint8Array;

const TEXT = 1;
const NUMBER = 2;
const BOOLEAN = 3;
const BYTES = 4;

/** One encoding for equal elements: a tag, then UTF-8, the shortest decimal text of the number, 0 or 1, or the bytes. */
export function encodeElement(value: ElementValue): Uint8Array {
  if (typeof value === "string") return new Writer().u8(TEXT).raw(utf8(value)).finish();
  if (typeof value === "boolean") return Uint8Array.of(BOOLEAN, value ? 1 : 0);
  if (value instanceof Uint8Array) return new Writer().u8(BYTES).raw(value).finish();
  if (!Number.isFinite(value)) throw new InputError("bad-element", "a set's numbers must be finite");
  return new Writer()
    .u8(NUMBER)
    .raw(utf8(String(value === 0 ? 0 : value)))
    .finish();
}

export function decodeElement(element: Uint8Array): ElementValue {
  const rest = element.slice(1);
  if (element[0] === TEXT) return fromUtf8(rest);
  if (element[0] === NUMBER) return Number(fromUtf8(rest));
  if (element[0] === BOOLEAN) return rest[0] === 1;
  return rest;
}

/** Throws InputError on bytes that stand for no element: no client could name them, and to show them would fail. */
export function checkElement(element: Uint8Array): void {
  // Rows are decoded at each read of the store: what most elements are is told without making text of them.
  if (element[0] === BYTES || (element[0] === TEXT && element.every((byte) => byte < 0x80))) return;
  if (!equalBytes(encodeElement(decodeElement(element)), element))
    throw new InputError("bad-encoding", "a set holds bytes that stand for no element");
}
