import { compareBytes, equalBytes, toHex } from "../src/kernel/bytes.ts";
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
