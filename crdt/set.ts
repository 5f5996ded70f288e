import { InputError } from "../src/kernel/assert.ts";
import { compareBytes, equalBytes, fromUtf8, toHex, utf8, Writer } from "../src/kernel/bytes.ts";
import type { Content } from "./content.ts";
import type { CrdtType } from "./contract.ts";

export type SetOp =
  | { readonly op: "add" | "remove"; readonly elements: readonly Uint8Array[] }
  | { readonly op: "clear" };

/** An add-wins set (Almeida et al. 2018): a remove takes only the adds it saw. Shows elements in byte order. */
export const set: CrdtType<SetOp, readonly Uint8Array[]> = {
  name: "set",
  plan: (op, slot) => {
    if (op.op === "clear") return { adds: [], removes: slot.seen };
    const elements = distinct(op.elements);
    const named = new Set(elements.map(toHex));
    return {
      adds: op.op === "add" ? elements.map((element) => ({ kind: "element", element })) : [],
      removes: slot.seen.filter((cell) => named.has(toHex(elementOf(cell.content)))),
    };
  },
  show: (cells) => distinct(cells.map((cell) => elementOf(cell.content))),
};

function elementOf(content: Content): Uint8Array {
  return content.kind === "element" ? content.element : new Uint8Array(0);
}

function distinct(elements: readonly Uint8Array[]): Uint8Array[] {
  const sorted = [...elements].sort(compareBytes);
  return sorted.filter((element, i) => i === 0 || !equalBytes(element, sorted[i - 1] as Uint8Array));
}

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
